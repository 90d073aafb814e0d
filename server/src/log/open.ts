import { mkdir, stat } from 'node:fs/promises'
import path from 'node:path'
import { PlanstreamError } from '@planstream/shared'
import { Health } from '../ops/health.js'
import { Limits } from '../ops/limits.js'
import { MemoryLog } from './memory.js'
import { SqliteLog } from './sqlite/client.js'
import { reportDropped, TailLog } from './tail.js'

/** Storage of the logs: this process's memory, or the file `planstream.db` in a directory. */
export type LogLocation = { readonly kind: 'memory' } | { readonly kind: 'sqlite'; readonly directory: string }

/**
 * Opens the logs. A missing directory is created, readable by this user only.
 *
 * @param health - receives the health of the store
 * @param limits - bounds the memory of the tail. @defaultValue the documented limits
 * @throws `storage_unavailable` when another process has the directory open or it cannot be used
 */
export async function openLog(location: LogLocation, health = new Health(), limits = new Limits()): Promise<TailLog> {
	const options = { health, limits: () => limits.server }
	if (location.kind === 'memory') return new TailLog(new MemoryLog(), options)
	const { directory } = location
	try {
		await makeDirectory(path.resolve(directory))
	} catch (error) {
		const reason = error instanceof Error ? error.message : String(error)
		const message = `The data directory ${directory} cannot be created (${reason}). Create it, or set PLANSTREAM_DATA to another directory.`
		throw new PlanstreamError('storage_unavailable', message, { directory }, { cause: error })
	}
	const log = new TailLog(await SqliteLog.open(directory), options)
	reportDropped(health, log.dropped)
	return log
}

/** Creates a directory and its parents. It avoids `recursive`, with which Node retries forever in a directory like /proc. */
async function makeDirectory(directory: string): Promise<void> {
	try {
		await makeOne(directory)
	} catch (error) {
		if (getErrorCode(error) !== 'ENOENT') throw error
		await makeDirectory(path.dirname(directory))
		await makeOne(directory)
	}
}

async function makeOne(directory: string): Promise<void> {
	try {
		await mkdir(directory, { mode: 0o700 })
	} catch (error) {
		if (getErrorCode(error) !== 'EEXIST' || !(await stat(directory)).isDirectory()) throw error
	}
}

function getErrorCode(error: unknown): unknown {
	return error instanceof Error && 'code' in error ? error.code : null
}
