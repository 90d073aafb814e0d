import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { LogLocation } from '../log/open.js'

/** Where a server keeps its files. */
export interface DataDirectory extends AsyncDisposable {
	readonly path: string
}

/** The directory of the logs; logs in memory get one for artifacts and indexes that goes when they do. */
export async function openDataDirectory(location: LogLocation): Promise<DataDirectory> {
	if (location.kind === 'sqlite') return { path: location.directory, [Symbol.asyncDispose]: () => Promise.resolve() }
	const temporary = await mkdtemp(path.join(tmpdir(), 'planstream-'))
	return { path: temporary, [Symbol.asyncDispose]: () => rm(temporary, { recursive: true, force: true }) }
}
