import { spawnSync } from 'node:child_process'
import { availableParallelism } from 'node:os'

const TASKSET = 'taskset'

/** The cores of the run. */
export interface Cores {
	/** The core of the server under test, which it does not share. */
	readonly server: number
	/** The core of the load generator, which is this process. */
	readonly load: number
	/** False without `taskset`, where the scheduler decides. */
	readonly pinned: boolean
}

/** The message on a machine with one core. */
export const ONE_CORE = 'There is only one core. Load generator and server need one each, so nothing was measured.'

/**
 * Finds two cores that are as far apart as possible and moves this process to one of them.
 *
 * @returns null on a single core, where load generator and server would compete
 */
export function takeCores(): Cores | null {
	const allowed = listAllowedCores()
	const numbers = allowed ?? Array.from({ length: availableParallelism() }, (_, index) => index)
	const [server, load] = [numbers.at(0), numbers.at(-1)]
	if (server === undefined || load === undefined || server === load) return null
	if (allowed !== null) runTaskset(['-a', '-c', '-p', String(load), String(process.pid)])
	return { server, load, pinned: allowed !== null }
}

/** Builds the command that runs a program on these cores, or unpinned. */
export function buildCommand(cores: readonly number[], pinned: boolean, program: readonly string[]): string[] {
	return pinned ? [TASKSET, '-c', cores.join(','), ...program] : [...program]
}

/** Lists the cores this process may use; null without `taskset`. */
function listAllowedCores(): number[] | null {
	const answer = runTaskset(['-c', '-p', String(process.pid)])
	const list = answer?.slice(answer.lastIndexOf(':') + 1).trim()
	return list === undefined ? null : list.split(',').flatMap(expandRange)
}

function expandRange(range: string): number[] {
	const [first = 0, last = first] = range.split('-').map(Number)
	return Array.from({ length: last - first + 1 }, (_, index) => first + index)
}

function runTaskset(args: readonly string[]): string | null {
	const { status, stdout } = spawnSync(TASKSET, args, { encoding: 'utf8' })
	return status === 0 ? stdout : null
}
