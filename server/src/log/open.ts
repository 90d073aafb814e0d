import { mkdir, stat } from 'node:fs/promises'
import path from 'node:path'
import { PlanstreamError } from '@planstream/shared'
import { Health } from '../ops/health.js'
import { MemoryLog } from './memory.js'
import { SqliteLog } from './sqlite/client.js'
import { TailLog, tellDropped } from './tail.js'

/** Where the logs are kept: in this process for as long as it lives, or in the file `planstream.db` of a directory. */
export type LogLocation = { readonly kind: 'memory' } | { readonly kind: 'sqlite'; readonly directory: string }

/**
 * Opens the logs; a directory that does not exist is made, for this user only.
 *
 * @param health - where the store says how it is
 * @throws `storage_unavailable` when another process has the directory open or it cannot be used
 */
export async function openLog(location: LogLocation, health = new Health()): Promise<TailLog> {
	if (location.kind === 'memory') return new TailLog(new MemoryLog(), { health })
	const { directory } = location
	try {
		await makeDirectory(path.resolve(directory))
	} catch (error) {
		throw new PlanstreamError('storage_unavailable', cannotMake(directory, error), { directory }, { cause: error })
	}
	const log = new TailLog(await SqliteLog.open(directory), { health })
	tellDropped(health, log.dropped)
	return log
}

/** Not `recursive`: with it Node tries for ever where a directory is there and takes none, as in /proc. */
async function makeDirectory(directory: string): Promise<void> {
	try {
		await makeOne(directory)
	} catch (error) {
		if (codeOf(error) !== 'ENOENT') throw error
		await makeDirectory(path.dirname(directory))
		await makeOne(directory)
	}
}

async function makeOne(directory: string): Promise<void> {
	try {
		await mkdir(directory, { mode: 0o700 })
	} catch (error) {
		if (codeOf(error) !== 'EEXIST' || !(await stat(directory)).isDirectory()) throw error
	}
}

function codeOf(error: unknown): unknown {
	return error instanceof Error && 'code' in error ? error.code : null
}

function cannotMake(directory: string, error: unknown): string {
	const reason = error instanceof Error ? error.message : String(error)
	return `The data directory ${directory} cannot be made (${reason}); make it, or set PLANSTREAM_DATA to another directory.`
}
