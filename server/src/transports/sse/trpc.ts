import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import { contract } from '@planstream/shared/schemas'
import { callTRPCProcedure, TRPCError } from '@trpc/server'
import { parseConnectionParamsFromString, type TRPCRequestInfo } from '@trpc/server/http'
import type { Context as HonoContext } from 'hono'
import { clientIdOf, readClientId, toReadRequest } from '../../api/input.js'
import type { Context, OnProblem } from '../../api/procedure.js'
import type { AppRouter } from '../../api/router.js'
import { controllerFor, PlanEvents } from '../../api/streams.js'
import type { Fanout } from '../../delivery/fanout.js'
import { encodeItem, getResumeCursor, type StreamItem } from '../../hub/stream.js'
import { type FailedCall, resumedInput, TrpcFailures } from '../trpc-errors.js'
import { type SseDialect, SsePlanStream } from './plan-stream.js'
import { type SseContent, type SseContext, type SsePeer, SseStream, type SseStreamOptions } from './stream.js'

/** Server-sent events as tRPC's own adapter writes them: the id behind the data, and an empty line more than is needed. */

function trpcItemBlock(item: StreamItem): string {
	return `data: ${encodeItem(item)}\nid: ${getResumeCursor(item) ?? ''}\n\n\n`
}

/** An item of a stream that cannot be resumed. */
function trpcDataBlock(data: unknown): string {
	return `data: ${JSON.stringify(data)}\n\n\n`
}

/** What tRPC's clients do not hand on. */
function trpcEventBlock(event: 'connected' | 'ping' | 'return' | 'serialized-error', data = ''): string {
	return `event: ${event}\ndata: ${data}\n\n\n`
}

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
 * Reads a request for a subscription. The procedure alone decides: a header such as `Content-Type` would hand the stream to an adapter that
 * neither counts nor watches it.
 *
 * @returns null for any other call, and for a request that is refused before it is one
 */
export function readSubscriptionCall({ method, url, headers }: Request): SubscriptionCall | null {
	const { pathname, searchParams } = new URL(url)
	if (method !== 'GET' || searchParams.get('batch') === '1') return null
	try {
		const path = decodeURIComponent(pathname.slice(PREFIX.length)).replace(/^\/+|\/+$/g, '')
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

const HEADERS = {
	vary: 'trpc-accept, accept',
	'content-type': 'text/event-stream',
	'cache-control': 'no-cache, no-transform',
	'x-accel-buffering': 'no',
} as const

const PING = trpcEventBlock('ping')

/** The call that a stream with ids answers. */
const PLAN_EVENTS: FailedCall = { type: 'subscription', path: 'plans.events', input: undefined }

export interface TrpcHttpOptions extends SseStreamOptions {
	readonly router: AppRouter
	readonly deliveries: Fanout
	readonly contextOf: (context: HonoContext) => Context
	readonly onProblem: OnProblem
}

/** Subscriptions over tRPC's server-sent events, byte for byte as tRPC's own adapter answers them. */
export class TrpcSse {
	readonly #options: TrpcHttpOptions
	readonly #failures: TrpcFailures
	/** The first event tells the client how long silence may last. */
	readonly #connected: string
	readonly #dialect: SseDialect

	constructor(options: TrpcHttpOptions) {
		this.#options = options
		this.#failures = new TrpcFailures(options.router, options.onProblem)
		this.#connected = trpcEventBlock('connected', JSON.stringify(options.router._def._config.sse?.client ?? {}))
		this.#dialect = {
			name: 'trpc-sse',
			block: trpcItemBlock,
			beat: () => PING,
			after: ({ resume }) => (resume ? null : trpcEventBlock('return')),
			broken: (thrown) => this.#broken(this.#failures.inStream(thrown, PLAN_EVENTS)),
		}
	}

	async answer(context: SseContext, { path, connectionParams, readInput }: SubscriptionCall): Promise<Response> {
		const { router, contextOf } = this.#options
		const call: FailedCall = { type: 'subscription', path, input: undefined }
		const left = controllerFor(path)
		try {
			const ctx = contextOf(context)
			const client_id = clientIdOf(context.req.url) ?? readClientId(connectionParams?.client_id)
			const peer: SsePeer = { transport: 'trpc-sse', principal: ctx.principal, client_id }
			const result: unknown = await callTRPCProcedure({
				router,
				path,
				type: 'subscription',
				getRawInput: () => Promise.resolve().then(readInput),
				ctx,
				signal: left?.signal,
				batchIndex: 0,
			})
			if (result instanceof PlanEvents) this.#deliver(context, peer, result)
			else if (left !== null) await this.#pump(context, { peer, left, call }, result as AsyncIterable<unknown>)
			return RESPONSE_ALREADY_SENT
		} catch (thrown) {
			return context.body(this.#connected + this.#broken(this.#failures.shape(thrown, call)), 200, HEADERS)
		}
	}

	#deliver(context: SseContext, peer: SsePeer, { principal, input }: PlanEvents): void {
		const { plan_id } = input
		const request = toReadRequest(input)
		const outlet = new SsePlanStream(context, { stream: this.#options, dialect: this.#dialect, peer, plan_id, beginning: null })
		this.#open(context, outlet.sink)
		outlet.deliver(this.#options.deliveries, principal, request)
	}

	/** A stream without ids goes from its procedure straight to the reader. */
	async #pump(context: SseContext, { peer, left, call }: Pumped, items: AsyncIterable<unknown>): Promise<void> {
		const cut = (): void => left.abort()
		const content: SseContent = { plan_id: null, delivered: 0, end: cut, left: cut, beat: () => PING }
		using stream = new SseStream(context, this.#options, peer, content)
		this.#open(context, stream)
		try {
			for await (const item of items) {
				using turn = await stream.turn(left.signal)
				if (turn === null || left.signal.aborted) break
				stream.send(trpcDataBlock(item))
			}
			if (!left.signal.aborted) stream.send(trpcEventBlock('return'))
		} catch (thrown) {
			stream.send(this.#broken(this.#failures.inStream(thrown, call)))
		}
	}

	#open(context: SseContext, stream: SseStream): void {
		const headers = { ...Object.fromEntries(context.body(null).headers), ...HEADERS }
		stream.open({ headers, block: this.#connected })
	}

	#broken(shape: object): string {
		return trpcEventBlock('serialized-error', JSON.stringify(shape))
	}
}

/** A stream that has no delivery. */
interface Pumped {
	readonly peer: SsePeer
	/** Aborted when the reader is gone. */
	readonly left: AbortController
	readonly call: FailedCall
}
