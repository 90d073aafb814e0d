import { readFileSync, statfsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { cpus, loadavg, tmpdir } from 'node:os'
import type { Cores } from './cores.js'

/** What a figure depends on besides the code. */
export interface Environment {
	readonly date: string
	readonly node: string
	readonly cpu: string
	readonly cores: Cores
	/** Of the last minute, before the run; on an idle machine near 0. */
	readonly load: number
	/** Whether the directory of the stores is in memory, where making durable costs nothing. */
	readonly disk: 'disk' | 'memory'
	readonly packages: Readonly<Record<string, string>>
}

const PACKAGES = ['@trpc/server', 'ws', 'zod'] as const
/** Programs that want to run, above which the cores are not for the benchmark alone. */
const BUSY = 1
/** What `statfs` calls a file system in memory. */
const TMPFS = 0x01021994

export function environmentOf(cores: Cores, date: Date): Environment {
	return {
		date: date.toISOString(),
		node: process.version,
		cpu: cpus()[0]?.model.trim() ?? 'unknown',
		cores,
		load: loadavg()[0] ?? 0,
		disk: statfsSync(tmpdir()).type === TMPFS ? 'memory' : 'disk',
		packages: Object.fromEntries(PACKAGES.map((name) => [name, versionOf(name)])),
	}
}

export function describe({ date, node, cpu, cores, load, disk, packages }: Environment): string {
	const versions = Object.entries(packages).map(([name, version]) => `${name} ${version}`)
	const placed = cores.pinned
		? `server on core ${cores.server}, load generator on core ${cores.load}`
		: 'not pinned: there is no taskset'
	const lines = [
		`${date}, Node ${node.slice(1)}, ${versions.join(', ')}`,
		`${cpu}; ${placed}; load ${load.toFixed(1)} before the run`,
	]
	if (load > BUSY)
		lines.push(
			'The machine is busy with other work: rates and latencies are worse than it can give. Compare CPU times and ratios only.',
		)
	if (disk === 'memory') lines.push(`${tmpdir()} is in memory, so durability is free there: set TMPDIR to a directory on a disk.`)
	return lines.join('\n')
}

function versionOf(name: string): string {
	const file = createRequire(import.meta.url).resolve(`${name}/package.json`)
	return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version
}
