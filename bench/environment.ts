import { readFileSync, statfsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { cpus, loadavg, tmpdir } from 'node:os'
import type { Cores } from './cores.js'

/** The conditions that a figure depends on, besides the code. */
export interface Environment {
	readonly date: string
	readonly node: string
	readonly cpu: string
	readonly cores: Cores
	/** Load of the last minute before the run; near 0 on an idle machine. */
	readonly load: number
	/** Whether the stores are on disk, or in memory, where durability costs nothing. */
	readonly disk: 'disk' | 'memory'
	readonly packages: Readonly<Record<string, string>>
}

const PACKAGES = ['@trpc/server', 'ws', 'zod'] as const
/** Load above which the benchmark shares its cores with other programs. */
const BUSY = 1
/** Type of an in-memory file system in `statfs`. */
const TMPFS = 0x01021994

export function readEnvironment(cores: Cores, date: Date): Environment {
	return {
		date: date.toISOString(),
		node: process.version,
		cpu: cpus()[0]?.model.trim() ?? 'unknown',
		cores,
		load: loadavg()[0] ?? 0,
		disk: statfsSync(tmpdir()).type === TMPFS ? 'memory' : 'disk',
		packages: Object.fromEntries(PACKAGES.map((name) => [name, readVersion(name)])),
	}
}

export function describe({ date, node, cpu, cores, load, disk, packages }: Environment): string {
	const versions = Object.entries(packages).map(([name, version]) => `${name} ${version}`)
	const placed = cores.pinned
		? `server on core ${cores.server}, load generator on core ${cores.load}`
		: 'not pinned, for lack of taskset'
	const lines = [
		`${date}, Node ${node.slice(1)}, ${versions.join(', ')}`,
		`${cpu}; ${placed}; load ${load.toFixed(1)} before the run`,
	]
	if (load > BUSY)
		lines.push(
			'The machine is busy with other work, so rates and latencies are worse than they could be. Compare only CPU times and ratios.',
		)
	if (disk === 'memory') lines.push(`${tmpdir()} is in memory, so durability is free there: set TMPDIR to a directory on a disk.`)
	return lines.join('\n')
}

function readVersion(name: string): string {
	const file = createRequire(import.meta.url).resolve(`${name}/package.json`)
	return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version
}
