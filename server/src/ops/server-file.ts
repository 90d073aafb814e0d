import { createHmac, randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { PlanstreamError } from '@planstream/shared'
import { isAlive } from './processes.js'

/** File in the data directory that tells the command line which server has it open. */
export const SERVER_FILE = 'server.json'

/** Header with a challenge of the command line, and the header with the proof that answers it. */
export const CHALLENGE_HEADER = 'planstream-challenge'
export const PROOF_HEADER = 'planstream-proof'

/**
 * Computes the proof that a server is the one that wrote a server file: only it and the file have the key. It covers the address, so that
 * another server cannot pass the challenge on.
 */
export function computeProof(key: string, url: string, challenge: string): string {
	return createHmac('sha256', key).update(`${url}\n${challenge}`).digest('base64url')
}

/** Time limit for a server on this machine to answer a health check. */
const ANSWER_MS = 5000

/** Address of a data directory's server, and the token of the command line. */
export interface FoundServer {
	readonly url: string
	readonly token?: string | undefined
}

/** Content of the file. */
interface Written extends FoundServer {
	readonly pid: number
	readonly key: string
}

/**
 * Finds the server that has a data directory open; null when none runs, even if a killed process left its file behind.
 *
 * @throws PlanstreamError `forbidden` when the file that names it belongs to another user
 */
export async function findServer(directory: string): Promise<FoundServer | null> {
	const file = path.join(directory, SERVER_FILE)
	const found = parseFile(await readJson(file))
	return found !== null && isAlive(found.pid) && (await isItself(found)) ? { url: found.url, token: found.token } : null
}

/** Checked by hand: schemas would double the time that a command takes to start. */
function parseFile(content: unknown): Written | null {
	if (typeof content !== 'object' || content === null) return null
	const { url, pid, key, token } = content as Partial<Record<keyof Written, unknown>>
	if (typeof url !== 'string' || !URL.canParse(url) || !Number.isInteger(pid) || Number(pid) < 1) return null
	if (typeof key !== 'string' || key === '' || (token !== undefined && typeof token !== 'string')) return null
	return { url, pid: Number(pid), key, token }
}

async function readJson(file: string): Promise<unknown> {
	try {
		return JSON.parse(await readFile(file, 'utf8'))
	} catch (error) {
		const code = error instanceof Error && 'code' in error ? error.code : null
		if (code === 'EACCES') {
			throw new PlanstreamError(
				'forbidden',
				`${file} belongs to another user. Run the command as the user who runs the server.`,
				{ file },
				{ cause: error },
			)
		}
		return null
	}
}

/**
 * Whether the server that wrote the file answers there: its process id and its address may belong to others by now. It gets the token only
 * after it has proved that it is the one.
 */
async function isItself({ url, key }: Written): Promise<boolean> {
	const challenge = randomBytes(32).toString('base64url')
	try {
		const signal = AbortSignal.timeout(ANSWER_MS)
		const { headers } = await fetch(new URL('/health/live', url), { signal, headers: { [CHALLENGE_HEADER]: challenge } })
		return headers.get(PROOF_HEADER) === computeProof(key, url, challenge)
	} catch {
		return false
	}
}
