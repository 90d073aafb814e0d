import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'
import type { HttpBindings } from '@hono/node-server'
import type { Context as HonoContext } from 'hono'
import type { Context } from '../api/context.js'
import type { OnProblem } from '../api/procedure.js'
import type { ConnectionLimits } from '../connections/limits.js'
import type { Connection, Connections } from '../connections/registry.js'
import type { Schedule } from '../connections/schedule.js'
import { Turns } from '../connections/turns.js'
import type { Hub } from '../hub/hub.js'
import type { Principal } from '../hub/principal.js'
import { openingBlock } from './sse-frames.js'
import { streamedBy } from './streamed-response.js'

export const SSE_HEADERS = {
	'content-type': 'text/event-stream; charset=utf-8',
	'cache-control': 'no-cache, no-transform',
	'x-accel-buffering': 'no',
	'x-content-type-options': 'nosniff',
} as const

export interface SseOptions {
	readonly hub: Hub
	readonly connections: Connections
	readonly limits: ConnectionLimits
	/** Aborts when the server stops. */
	readonly draining: AbortSignal
	readonly contextOf: (context: HonoContext) => Context
	readonly schedule: Schedule
	/** From 0 up to 1. */
	readonly random: () => number
	readonly onProblem: OnProblem
}

export type SseContext = HonoContext<{ Bindings: HttpBindings }>

/** A response that is to become a stream, counted as a connection until it is disposed. */
export interface SseConnection extends Disposable {
	readonly response: ServerResponse
	/** What middleware has set. */
	readonly headers: OutgoingHttpHeaders
	readonly connection: Connection
	readonly turns: Turns
}

export interface SseReader {
	readonly principal: Principal
	/** What it calls itself. */
	readonly client_id: string | undefined
	/** null for a stream of no plan. */
	readonly plan_id: string | null
}

/** @throws PlanstreamError `too_many_connections`, `draining` */
export function countIn(
	context: SseContext,
	{ connections, limits }: SseOptions,
	{ principal, client_id, plan_id }: SseReader,
): SseConnection {
	const response = context.env.outgoing
	const turns = new Turns({ sink: response, queued: () => response.writableLength, limit: limits.sendBufferBytes })
	const ends = { lagging: () => turns.full, terminate: () => void response.destroy() }
	const connection = connections.open({ transport: 'sse', ...ends })
	connection.identify({ tenant: principal.tenant, client_id })
	const stream = connection.begin(plan_id)
	return {
		response,
		// Taken from an answer without a body: a response once begun in the context would be sent beside the stream.
		headers: Object.fromEntries(context.body(null).headers),
		connection,
		turns,
		[Symbol.dispose]: () => {
			stream[Symbol.dispose]()
			connection[Symbol.dispose]()
		},
	}
}

/** Aborts when the reader is gone. */
export function leaving(response: ServerResponse): AbortSignal {
	const closed = new AbortController()
	response.once('close', () => closed.abort())
	if (response.destroyed) closed.abort()
	return closed.signal
}

/** A response that is a stream of server-sent events. Disposing it ends the response. */
export class SseResponse implements Disposable {
	readonly #of: SseConnection
	readonly #options: SseOptions
	readonly #beat: () => string
	#heartbeat: Disposable

	/**
	 * Sends the headers and a comment at once.
	 *
	 * @param beat - what a sign of life is
	 */
	constructor(of: SseConnection, options: SseOptions, beat: () => string) {
		const { response, headers } = of
		this.#of = of
		this.#options = options
		this.#beat = beat
		response.on('error', ignoreBrokenPipe)
		streamedBy(response, options.limits.stallTimeoutMs)
		response.writeHead(200, { ...headers, ...SSE_HEADERS })
		response.write(openingBlock(options.random))
		this.#heartbeat = this.#nextHeartbeat()
	}

	turn(signal: AbortSignal): Promise<Disposable | null> {
		return this.#of.turns.take(signal)
	}

	send(text: string): void {
		if (!this.#of.response.destroyed) this.#of.response.write(text, this.#taken)
	}

	[Symbol.dispose](): void {
		this.#heartbeat[Symbol.dispose]()
		if (!this.#of.response.destroyed) this.#of.response.end()
	}

	/** A reader of SSE says nothing; that it takes what is sent is its sign of life. */
	readonly #taken = (error?: Error | null): void => {
		if (error == null) this.#of.connection.seen()
	}

	/** Nothing is added to what a reader has not taken: that is on its way and shows life by itself. */
	#nextHeartbeat(): Disposable {
		const { schedule, limits } = this.#options
		return schedule(() => {
			if (!this.#of.response.writableNeedDrain) this.send(this.#beat())
			this.#heartbeat = this.#nextHeartbeat()
		}, limits.heartbeatMs)
	}
}

/** A reader that leaves while something is written to it is no failure: `close` follows and ends its stream. */
function ignoreBrokenPipe(): void {}
