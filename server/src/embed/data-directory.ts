import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { DEFAULT_TENANT } from '@planstream/shared'
import type { Principal } from '../hub/principal.js'
import type { LogLocation } from '../log/open.js'

/** File in the data directory that tells the command line which server has it open. */
export const SERVER_FILE = 'server.json'

const TOKEN_BYTES = 32

/** Rights of anyone who can read the file: read, control and administer plans, but not publish events on behalf of agents. */
const COMMAND_LINE: Principal = {
	tenant: DEFAULT_TENANT,
	actor: { type: 'user', id: 'command-line' },
	scopes: new Set(['plans:read', 'plans:write', 'admin']),
}

/** Stores where a server listens, readable only by its own user, with a token valid for the lifetime of the process. */
export class ServerFile {
	/** null for a server without a data directory. */
	readonly #file: string | null
	readonly #token = randomBytes(TOKEN_BYTES).toString('base64url')

	constructor(data: LogLocation) {
		this.#file = data.kind === 'sqlite' ? path.join(data.directory, SERVER_FILE) : null
	}

	/** Returns the principal of this token, or null for any other token. */
	find(token: string): Principal | null {
		return timingSafeEqual(digest(token), digest(this.#token)) ? COMMAND_LINE : null
	}

	/** Writes a temporary file and renames it: readers never see half of it, and other users can never read it. */
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

function digest(token: string): Buffer {
	return createHash('sha256').update(token).digest()
}

/** Directory of a server's files. */
export interface DataDirectory extends AsyncDisposable {
	readonly path: string
}

/** Opens the data directory. Logs in memory get a temporary one for artifacts and indexes, removed on disposal. */
export async function openDataDirectory(location: LogLocation): Promise<DataDirectory> {
	if (location.kind === 'sqlite') return { path: location.directory, [Symbol.asyncDispose]: () => Promise.resolve() }
	const temporary = await mkdtemp(path.join(tmpdir(), 'planstream-'))
	return { path: temporary, [Symbol.asyncDispose]: () => rm(temporary, { recursive: true, force: true }) }
}
