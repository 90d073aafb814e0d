import { createPlanstreamClient, type Planstream } from '@planstream/client'
import { PlanstreamError } from '@planstream/shared'
import { Option } from 'commander'
import { WebSocket } from 'ws'
import { UsageError } from './exit.js'
import { quoteWord, type TypeCommand } from './render.js'

/** Default address of a server. */
export const DEFAULT_URL = 'http://127.0.0.1:3000'

/** Default data directory of a server. */
export const DEFAULT_DATA = '.planstream'

/** Creates the option for the server's address, the same for every command that needs a server. */
export function createUrlOption(): Option {
	const where = `server address (default: the server that has PLANSTREAM_DATA open, otherwise ${DEFAULT_URL})`
	return new Option('--url <url>', where).env('PLANSTREAM_URL')
}

/** Reads the key from the environment: an option would be visible in the list of processes. */
export function readToken(): string | undefined {
	return process.env.PLANSTREAM_TOKEN || undefined
}

/** @throws UsageError */
export function assertUrl(url: string): string {
	if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
		throw new UsageError(`Invalid server address "${url}". Use one such as ${DEFAULT_URL}.`)
	}
	const { username, password, search, hash } = new URL(url)
	if (username + password + search + hash === '') return url
	const advice = `Use one such as ${DEFAULT_URL}, and set a key in PLANSTREAM_TOKEN.`
	throw new UsageError(`The server address has a user, a query or a fragment, which is not sent. ${advice}`)
}

/** Builds an address below that of a server, which may be mounted below a path itself. */
export function buildAddress(server: string, path: string): URL {
	const address = new URL(server)
	address.pathname = `${address.pathname.replace(/\/$/, '')}${path}`
	return address
}

/** Options that say which server a command reaches. */
export interface ServerChoice {
	readonly url?: string | undefined
	readonly data?: string | undefined
}

/** Completes suggested commands so that they reach the same server as this one when they are typed in the same shell. */
export function createTypeCommand({ url, data }: ServerChoice): TypeCommand {
	const { PLANSTREAM_URL, PLANSTREAM_DATA } = process.env
	if (url && url !== PLANSTREAM_URL) return (command) => `planstream ${command} --url ${quoteWord(url)}`
	if (!url && data && data !== PLANSTREAM_DATA) return (command) => `PLANSTREAM_DATA=${quoteWord(data)} planstream ${command}`
	return (command) => `planstream ${command}`
}

/**
 * Finds the server and its key: the named one, otherwise the one that has the data directory open, otherwise the default address.
 */
export async function resolveServer(
	named: string | undefined,
): Promise<{ readonly url: string; readonly token: string | undefined }> {
	const token = readToken()
	if (named) return { url: assertUrl(named), token }
	const { findServer } = await import('@planstream/server/local')
	const near = await findServer(process.env.PLANSTREAM_DATA || DEFAULT_DATA)
	return { url: near?.url ?? DEFAULT_URL, token: token ?? near?.token }
}

/** Creates a client of a server. */
export async function connect(named: string | undefined): Promise<Planstream> {
	return createPlanstreamClient({ ...(await resolveServer(named)), WebSocket })
}

/** Explains a failed request to the user. */
export function explain(error: unknown): string {
	if (!(error instanceof PlanstreamError)) return error instanceof Error ? error.message : String(error)
	switch (error.code) {
		case 'unreachable':
			return `${error.message} Start one with \`planstream serve\`, or give its address with --url or PLANSTREAM_URL.`
		case 'unauthorized':
			return `${error.message} Set the key in PLANSTREAM_TOKEN.`
		default:
			return error.message
	}
}
