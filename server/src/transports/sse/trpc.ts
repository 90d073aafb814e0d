import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import { contract } from '@planstream/shared/schemas'
import { callTRPCProcedure, TRPCError } from '@trpc/server'
import { parseConnectionParamsFromString, type TRPCRequestInfo } from '@trpc/server/http'
import type { Context as HonoContext } from 'hono'
import { readClientId, readUrlClientId, toReadRequest } from '../../api/input.js'
import type { Context, OnProblem } from '../../api/procedure.js'
import type { AppRouter } from '../../api/router.js'
import { createStreamController, PlanEvents, passOn } from '../../api/streams.js'
import type { Fanout } from '../../delivery/fanout.js'
import { encodeItem, getResumeCursor, type StreamItem } from '../../hub/stream.js'
import { addLastEventId, type FailedCall, TrpcFailures } from '../trpc-errors.js'
import { type SseDialect, SsePlanStream } from './plan-stream.js'
import { SSE_HEADERS, type SseContent, type SseContext, type SsePeer, SseStream, type SseStreamOptions } from './stream.js'

// Server-sent events exactly as tRPC's own adapter writes them: the id after the data, and one more empty line than necessary.

function encodeItemBlock(item: StreamItem): string {
	return `data: ${encodeItem(item)}\nid: ${getResumeCursor(item) ?? ''}\n\n\n`
}

/** Encodes an item of a stream that cannot be resumed. */
function encodeDataBlock(data: unknown): string {
	return `data: ${JSON.stringify(data)}\n\n\n`
}

/** Encodes an event that tRPC's clients handle themselves. */
function encodeEventBlock(event: 'connected' | 'ping' | 'return' | 'serialized-error', data = ''): string {
	return `event: ${event}\ndata: ${data}\n\n\n`
}

/** A subscription request over HTTP. */
export interface SubscriptionCall {
	readonly path: string
	readonly connectionParams: TRPCRequestInfo['connectionParams']
	/** @throws TRPCError when the input is not JSON */
	readonly readInput: () => unknown
}

const PREFIX = '/trpc/'
const SUBSCRIPTIONS = new Set(Object.entries(contract).flatMap(([name, { kind }]) => (kind === 'subscription' ? [name] : [])))

/**
 * Reads a request for a subscription. Only the procedure decides, not headers such as `Content-Type`: tRPC's adapter would neither
 * count the stream nor watch it for backpressure.
 *
 * @returns null for any other call, and for a malformed request, which is then refused
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
			readInput: () => addLastEventId(parseInput(searchParams.get('input')), getLastEventId(headers, searchParams)),
		}
	} catch {
		return null
	}
}

function parseInput(text: string | null): unknown {
	if (text === null || text === '') return undefined
	try {
		return JSON.parse(text)
	} catch (cause) {
		throw new TRPCError({ code: 'BAD_REQUEST', message: 'The input is not JSON.', cause })
	}
}

/** Returns the id of the last event; an empty one counts as missing. */
function getLastEventId(headers: Headers, query: URLSearchParams): string | undefined {
	return (headers.get('last-event-id') ?? query.get('lastEventId') ?? query.get('Last-Event-Id')) || undefined
}

const HEADERS = { vary: 'trpc-accept, accept', ...SSE_HEADERS }

const PING = encodeEventBlock('ping')

const PLAN_EVENTS: FailedCall = { type: 'subscription', path: 'plans.events', input: undefined }

export interface TrpcHttpOptions extends SseStreamOptions {
	readonly router: AppRouter
	readonly fanout: Fanout
	readonly getContext: (context: HonoContext) => Context
	readonly onProblem: OnProblem
}

/** Serves subscriptions as tRPC's server-sent events, byte for byte like tRPC's own adapter. */
export class TrpcSse {
	readonly #options: TrpcHttpOptions
	readonly #failures: TrpcFailures
	/** The first event; it carries the client's timeout for silence. */
	readonly #connected: string
	readonly #dialect: SseDialect

	constructor(options: TrpcHttpOptions) {
		this.#options = options
		this.#failures = new TrpcFailures(options.router, options.onProblem)
		this.#connected = encodeEventBlock('connected', JSON.stringify(options.router._def._config.sse?.client ?? {}))
		this.#dialect = {
			name: 'trpc-sse',
			encode: encodeItemBlock,
			heartbeat: () => PING,
			encodeEnd: ({ resume }) => (resume ? null : encodeEventBlock('return')),
			encodeFailure: (thrown) => this.#encodeFailure(this.#failures.toStreamShape(thrown, PLAN_EVENTS)),
		}
	}

	async answer(context: SseContext, { path, connectionParams, readInput }: SubscriptionCall): Promise<Response> {
		const { router, getContext } = this.#options
		const call: FailedCall = { type: 'subscription', path, input: undefined }
		const readerGone = createStreamController(path)
		try {
			const ctx = getContext(context)
			const client_id = readUrlClientId(context.req.url) ?? readClientId(connectionParams?.client_id)
			const peer: SsePeer = { transport: 'trpc-sse', principal: ctx.principal, client_id }
			const result: unknown = await callTRPCProcedure({
				router,
				path,
				type: 'subscription',
				getRawInput: () => Promise.resolve().then(readInput),
				ctx,
				signal: readerGone?.signal,
				batchIndex: 0,
			})
			if (result instanceof PlanEvents) this.#deliver(context, peer, result)
			else if (readerGone !== null) await this.#pump(context, { peer, readerGone, call }, result as AsyncIterable<unknown>)
			return RESPONSE_ALREADY_SENT
		} catch (thrown) {
			return context.body(this.#connected + this.#encodeFailure(this.#failures.toShape(thrown, call)), 200, HEADERS)
		}
	}

	#deliver(context: SseContext, peer: SsePeer, { principal, input }: PlanEvents): void {
		const { plan_id } = input
		const request = toReadRequest(input)
		const target = new SsePlanStream(context, { stream: this.#options, dialect: this.#dialect, peer, plan_id, beginning: null })
		target.sink.open(context, { headers: HEADERS, block: this.#connected })
		target.deliver(this.#options.fanout, principal, request)
	}

	/** Sends a stream without ids straight from its procedure to the reader. */
	async #pump(context: SseContext, { peer, readerGone, call }: Pumped, items: AsyncIterable<unknown>): Promise<void> {
		const abort = (): void => readerGone.abort()
		const content: SseContent = { plan_id: null, delivered: 0, end: abort, stop: abort, heartbeat: () => PING }
		using stream = new SseStream(context, this.#options, peer, content)
		stream.open(context, { headers: HEADERS, block: this.#connected })
		try {
			await passOn(items, async (item) => {
				if (readerGone.signal.aborted) return false
				stream.send(encodeDataBlock(item))
				return stream.waitForRoom(readerGone.signal)
			})
			if (!readerGone.signal.aborted) stream.send(encodeEventBlock('return'))
		} catch (thrown) {
			stream.send(this.#encodeFailure(this.#failures.toStreamShape(thrown, call)))
		}
	}

	#encodeFailure(shape: object): string {
		return encodeEventBlock('serialized-error', JSON.stringify(shape))
	}
}

/** A stream that is sent straight from its procedure. */
interface Pumped {
	readonly peer: SsePeer
	/** Aborts when the reader is gone. */
	readonly readerGone: AbortController
	readonly call: FailedCall
}
