import { createPlanstream, type Planstream } from '@planstream/client'
import { PlanstreamError } from '@planstream/shared'
import { Option } from 'commander'
import { WebSocket } from 'ws'
import { UsageError } from './exit.js'

/** Where a server listens that was told nothing else. */
export const DEFAULT_URL = 'http://127.0.0.1:3000'

/** Where a server keeps its plans that was told nothing else. */
export const DEFAULT_DATA = '.planstream'

/** Where the server is; the same for every command that asks one. */
export function urlOption(): Option {
	const where = `address of the server (default: of the one that has PLANSTREAM_DATA open, else ${DEFAULT_URL})`
	return new Option('--url <url>', where).env('PLANSTREAM_URL')
}

/** The key of the environment: an option would show it to everybody who lists the processes. */
export function tokenOfEnvironment(): string | undefined {
	return process.env.PLANSTREAM_TOKEN || undefined
}

/** @throws UsageError */
export function assertUrl(url: string): string {
	if (URL.canParse(url) && /^https?:$/.test(new URL(url).protocol)) return url
	throw new UsageError(`"${url}" is no address of a server; give one like ${DEFAULT_URL}.`)
}

/** The server that was named, else the one that has the data directory open, else one that listens where servers do; and the key for it. */
export async function serverNamed(
	named: string | undefined,
): Promise<{ readonly url: string; readonly token: string | undefined }> {
	const token = tokenOfEnvironment()
	if (named) return { url: assertUrl(named), token }
	const { findServer } = await import('@planstream/server')
	const near = await findServer(process.env.PLANSTREAM_DATA || DEFAULT_DATA)
	return { url: near?.url ?? DEFAULT_URL, token: token ?? near?.token }
}

/** The SDK on a server. */
export async function connect(named: string | undefined): Promise<Planstream> {
	return createPlanstream({ ...(await serverNamed(named)), WebSocket })
}

/** What a failed request means to the person who made it. */
export function explain(error: unknown): string {
	if (!(error instanceof PlanstreamError)) return error instanceof Error ? error.message : String(error)
	switch (error.code) {
		case 'unreachable':
			return `${error.message} Start one with \`planstream serve\`, or name it with --url or PLANSTREAM_URL.`
		case 'unauthorized':
			return `${error.message} This command takes its key from PLANSTREAM_TOKEN.`
		default:
			return error.message
	}
}
