import { spawnSync } from 'node:child_process'
import { availableParallelism } from 'node:os'

const TASKSET = 'taskset'

/** Which cores the run has, and who is on which. */
export interface Cores {
	/** The server under test has this core for itself. */
	readonly server: number
	/** The load generator, which is this process. */
	readonly load: number
	/** False on a system without `taskset`: then the scheduler decides. */
	readonly pinned: boolean
}

/** Why nothing is measured on such a machine. */
export const ONE_CORE = 'There is one core only. Load generator and server each need one of their own, so nothing was measured.'

/**
 * Finds two cores that are as far apart as can be and moves this process to one of them.
 *
 * @returns null when there are not two: load generator and server would take each other's time
 */
export function takeCores(): Cores | null {
	const allowed = allowedCores()
	const numbers = allowed ?? Array.from({ length: availableParallelism() }, (_, index) => index)
	const [server, load] = [numbers.at(0), numbers.at(-1)]
	if (server === undefined || load === undefined || server === load) return null
	if (allowed !== null) taskset(['-a', '-c', '-p', String(load), String(process.pid)])
	return { server, load, pinned: allowed !== null }
}

/** The command that runs a program on these cores, or wherever the scheduler likes when there is no pinning. */
export function commandOn(cores: readonly number[], pinned: boolean, program: readonly string[]): string[] {
	return pinned ? [TASKSET, '-c', cores.join(','), ...program] : [...program]
}

/** Null where cores cannot be chosen. */
function allowedCores(): number[] | null {
	const answer = taskset(['-c', '-p', String(process.pid)])
	const list = answer?.slice(answer.lastIndexOf(':') + 1).trim()
	return list === undefined ? null : list.split(',').flatMap(expand)
}

function expand(range: string): number[] {
	const [first = 0, last = first] = range.split('-').map(Number)
	return Array.from({ length: last - first + 1 }, (_, index) => first + index)
}

function taskset(args: readonly string[]): string | null {
	const { status, stdout } = spawnSync(TASKSET, args, { encoding: 'utf8' })
	return status === 0 ? stdout : null
}
