import { contract } from '@planstream/shared/schemas'
import { TRPCError } from '@trpc/server'
import { parseConnectionParamsFromString, type TRPCRequestInfo } from '@trpc/server/http'
import { resumedInput } from './trpc-input.js'

/** A subscription asked for over HTTP. */
export interface SubscriptionCall {
	readonly path: string
	readonly connectionParams: TRPCRequestInfo['connectionParams']
	/** @throws TRPCError when it is no JSON */
	readonly readInput: () => unknown
}

const PREFIX = '/trpc/'
const SUBSCRIPTIONS = new Set(Object.entries(contract).flatMap(([name, { kind }]) => (kind === 'subscription' ? [name] : [])))

/**
 * Reads a request for a subscription.
 *
 * @returns null for any other call, and for a request that is refused before it is one
 */
export function readSubscriptionCall({ method, url, headers }: Request): SubscriptionCall | null {
	const { pathname, searchParams } = new URL(url)
	if (method !== 'GET' || searchParams.get('batch') === '1' || !isJson(headers)) return null
	try {
		const path = decodeURIComponent(pathname.slice(PREFIX.length))
		if (!SUBSCRIPTIONS.has(path)) return null
		const params = searchParams.get('connectionParams')
		const connectionParams = params === null ? null : parseConnectionParamsFromString(params)
		return {
			path,
			connectionParams,
			readInput: () => resumedInput(parse(searchParams.get('input')), lastEventId(headers, searchParams)),
		}
	} catch {
		return null
	}
}

/** Whether the request is what tRPC reads by itself: it may also ask for lines of JSON, or carry a form. */
function isJson(headers: Headers): boolean {
	const asks = `${headers.get('trpc-accept') ?? ''} ${headers.get('accept') ?? ''}`
	const type = headers.get('content-type')
	return !asks.includes('application/jsonl') && (type === null || type.startsWith('application/json'))
}

function parse(text: string | null): unknown {
	if (text === null || text === '') return undefined
	try {
		return JSON.parse(text)
	} catch (cause) {
		throw new TRPCError({ code: 'BAD_REQUEST', message: 'The input is no JSON.', cause })
	}
}

/** An empty one is none. */
function lastEventId(headers: Headers, query: URLSearchParams): string | undefined {
	return (headers.get('last-event-id') ?? query.get('lastEventId') ?? query.get('Last-Event-Id')) || undefined
}
