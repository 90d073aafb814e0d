import { createPlanstream, type Planstream } from '@planstream/client'
import { PlanstreamError } from '@planstream/shared'
import { Option } from 'commander'
import { WebSocket } from 'ws'
import { UsageError } from './failure.js'

/** Where the server is; the same for every command that asks one. */
export function urlOption(): Option {
	return new Option('--url <url>', 'address of the server').env('PLANSTREAM_URL').default('http://127.0.0.1:3000')
}

/** The SDK on a server. */
export function connect(url: string): Planstream {
	if (URL.canParse(url) && /^https?:$/.test(new URL(url).protocol)) return createPlanstream({ url, WebSocket })
	throw new UsageError(`"${url}" is no address of a server; give one like http://127.0.0.1:3000.`)
}

/** What a failed request means to the person who made it. */
export function explain(error: unknown): string {
	if (!(error instanceof PlanstreamError)) return error instanceof Error ? error.message : String(error)
	return error.code === 'unreachable'
		? `${error.message} Start one with \`npm start\`, or name it with --url or PLANSTREAM_URL.`
		: error.message
}
