import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { DEFAULT_TENANT } from '@planstream/shared'
import type { Principal } from '../hub/principal.js'
import type { LogLocation } from '../log/open.js'

/** The file in the data directory by which the command line finds the server that has it open. */
export const SERVER_FILE = 'server.json'

const TOKEN_BYTES = 32

/** Whoever can read the file may look at the plans, steer them and keep them; what agents say they cannot say for them. */
const HOLDER: Principal = {
	tenant: DEFAULT_TENANT,
	actor: { type: 'user', id: 'command-line' },
	scopes: new Set(['plans:read', 'plans:write', 'admin']),
}

/** Tells the user of this machine, and nobody else, where a server listens, with a token that holds for its process's life. */
export class ServerFile {
	/** null: the server keeps nothing in a directory. */
	readonly #file: string | null
	readonly #token = randomBytes(TOKEN_BYTES).toString('base64url')

	constructor(data: LogLocation) {
		this.#file = data.kind === 'sqlite' ? path.join(data.directory, SERVER_FILE) : null
	}

	/** Who has this token; null when it is another. */
	find(token: string): Principal | null {
		return timingSafeEqual(digestOf(token), digestOf(this.#token)) ? HOLDER : null
	}

	/** Writes beside and renames, so that nobody reads half of it and it is never readable for others. */
	async write(url: string): Promise<void> {
		if (this.#file === null) return
		const beside = `${this.#file}.${process.pid}`
		await rm(beside, { force: true })
		try {
			await writeFile(beside, `${JSON.stringify({ url, pid: process.pid, token: this.#token })}\n`, { mode: 0o600, flag: 'wx' })
			await rename(beside, this.#file)
		} catch (error) {
			await rm(beside, { force: true })
			throw error
		}
	}

	async remove(): Promise<void> {
		if (this.#file !== null) await rm(this.#file, { force: true })
	}
}

function digestOf(token: string): Buffer {
	return createHash('sha256').update(token).digest()
}

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
