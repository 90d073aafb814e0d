import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { asPlanstreamError, DEFAULT_TENANT } from '@planstream/shared'
import type { OnProblem } from '../api/procedure.js'
import { isLocalPeer, type Peer } from '../auth/authenticator.js'
import type { Principal } from '../hub/principal.js'
import type { LogLocation } from '../log/open.js'
import type { Schedule } from '../ops/clock.js'
import { CHALLENGE_HEADER, computeProof, SERVER_FILE } from '../ops/server-file.js'

const SECRET_BYTES = 32
/** Time after which the token changes, and the time for which commands that have read the one before may go on using it. */
const TOKEN_MS = 86_400_000
const TOKEN_GRACE_MS = 600_000
/** Pause before a file that could not be written is written again. */
const RETRY_MS = 5000

/** Rights of anyone who can read the file: read, control and administer plans, but not publish events on behalf of agents. */
const COMMAND_LINE: Principal = {
	tenant: DEFAULT_TENANT,
	actor: { type: 'user', id: 'command-line' },
	scopes: new Set(['plans:read', 'plans:write', 'admin']),
}

const CHALLENGE = /^[\w-]{22,86}$/

export interface ServerFileOptions {
	/** Whether the file holds a token for the command line. */
	readonly hasToken: boolean
	readonly schedule: Schedule
	/** Rejects when the data directory was moved or deleted: another server may have written the file in its place. */
	readonly assertPresent: () => Promise<void>
	readonly onProblem: OnProblem
}

/** Stores where a server listens, readable only by its own user, with a token that changes every 24 hours. */
export class ServerFile {
	/** null for a server without a data directory. */
	readonly #file: string | null
	/** Proves to the command line which server it talks to. */
	readonly #key = makeSecret()
	#token: string | null = null
	#formerToken: string | null = null
	#url = ''
	#options: ServerFileOptions | null = null
	readonly #timers = new Map<'grace' | 'retry' | 'token', Disposable>()

	constructor(data: LogLocation) {
		this.#file = data.kind === 'sqlite' ? path.join(data.directory, SERVER_FILE) : null
	}

	/** Returns the principal of a token that a program on this machine sends; null for any other. */
	find(token: string, peer: Peer): Principal | null {
		const isKnown = [this.#token, this.#formerToken].some((own) => own !== null && timingSafeEqual(digest(token), digest(own)))
		return isKnown && isLocalPeer(peer) ? COMMAND_LINE : null
	}

	/** Answers the challenge of a program on this machine; null for one that has none. */
	prove({ headers, socket }: Pick<IncomingMessage, 'headers' | 'socket'>): string | null {
		const challenge = headers[CHALLENGE_HEADER]
		if (typeof challenge !== 'string' || !CHALLENGE.test(challenge)) return null
		return isLocalPeer({ headers, address: socket.remoteAddress }) ? computeProof(this.#key, this.#url, challenge) : null
	}

	/** Writes the file, and again while it cannot be written and whenever the token changes. Never rejects. */
	async publish(url: string, options: ServerFileOptions): Promise<void> {
		this.#url = url
		this.#options = options
		if (options.hasToken) this.#changeToken()
		await this.#write('server.json cannot be written, so the command line cannot find this server by its data directory.')
	}

	/** Removes the file, unless it is another server's by now. */
	async remove(): Promise<void> {
		this.#options = null
		for (const timer of this.#timers.values()) timer[Symbol.dispose]()
		if (this.#file === null) return
		const found = await readFile(this.#file, 'utf8').catch(() => '')
		if (found.includes(this.#key)) await rm(this.#file, { force: true })
	}

	#changeToken(): void {
		this.#formerToken = this.#token
		this.#token = makeSecret()
		this.#wait('grace', TOKEN_GRACE_MS, () => {
			this.#formerToken = null
		})
		this.#wait('token', TOKEN_MS, () => {
			this.#changeToken()
			void this.#write('server.json cannot be written with its new token. The one before stays valid for ten minutes.')
		})
	}

	async #write(problem: string | null): Promise<void> {
		try {
			await this.#replace()
		} catch (error) {
			if (problem !== null) this.#options?.onProblem(problem, asPlanstreamError(error))
			this.#wait('retry', RETRY_MS, () => void this.#write(null))
		}
	}

	/** Writes a temporary file and renames it: readers never see half of it, and other users can never read it. */
	async #replace(): Promise<void> {
		if (this.#file === null || this.#options === null) return
		await this.#options.assertPresent()
		const beside = `${this.#file}.${process.pid}`
		await rm(beside, { force: true })
		const content = { url: this.#url, pid: process.pid, key: this.#key, ...(this.#token !== null && { token: this.#token }) }
		try {
			await writeFile(beside, `${JSON.stringify(content)}\n`, { mode: 0o600, flag: 'wx' })
			await rename(beside, this.#file)
		} catch (error) {
			await rm(beside, { force: true })
			throw error
		}
	}

	#wait(name: 'grace' | 'retry' | 'token', delayMs: number, run: () => void): void {
		this.#timers.get(name)?.[Symbol.dispose]()
		if (this.#options !== null) this.#timers.set(name, this.#options.schedule(run, delayMs))
	}
}

function makeSecret(): string {
	return randomBytes(SECRET_BYTES).toString('base64url')
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
