import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'
import type { ConnectionLimits } from '../connections/limits.js'
import type { Connection } from '../connections/registry.js'
import type { Schedule } from '../connections/schedule.js'
import type { Turns } from '../connections/turns.js'
import { cursorOf, type StreamItem } from '../hub/stream-item.js'
import type { Outlet } from './delivery.js'
import { HEARTBEAT_BLOCK, itemBlock, openingBlock } from './sse-frames.js'
import { streamedBy } from './streamed-response.js'

export const SSE_HEADERS = {
	'content-type': 'text/event-stream; charset=utf-8',
	'cache-control': 'no-cache, no-transform',
	'x-accel-buffering': 'no',
	'x-content-type-options': 'nosniff',
} as const

export interface SseOutletOptions {
	readonly plan_id: string
	readonly connection: Connection
	readonly turns: Turns
	readonly headers: OutgoingHttpHeaders
	readonly limits: ConnectionLimits
	readonly schedule: Schedule
	/** From 0 up to 1. */
	readonly random: () => number
}

/** A response that carries one plan's stream. Disposing it ends the response. */
export class SseOutlet implements Outlet, Disposable {
	readonly #response: ServerResponse
	readonly #options: SseOutletOptions
	#cursor: string | null = null
	#heartbeat: Disposable

	/** Sends the headers and a comment at once. */
	constructor(response: ServerResponse, options: SseOutletOptions) {
		this.#response = response
		this.#options = options
		response.on('error', ignoreBrokenPipe)
		streamedBy(response, options.limits.stallTimeoutMs)
		response.writeHead(200, { ...options.headers, ...SSE_HEADERS })
		response.write(openingBlock(options.random))
		this.#heartbeat = this.#nextHeartbeat()
	}

	/** Where the reader resumes; null before its first item. */
	get cursor(): string | null {
		return this.#cursor
	}

	write(item: StreamItem): void {
		this.#cursor = cursorOf(item)
		this.#send(itemBlock(item))
		if (item.kind === 'event') this.#options.connection.delivered()
	}

	turn(signal: AbortSignal): Promise<Disposable | null> {
		return this.#options.turns.take(signal)
	}

	[Symbol.dispose](): void {
		this.#heartbeat[Symbol.dispose]()
		if (!this.#response.destroyed) this.#response.end()
	}

	#nextHeartbeat(): Disposable {
		const { schedule, limits } = this.#options
		return schedule(() => {
			this.#beat()
			this.#heartbeat = this.#nextHeartbeat()
		}, limits.heartbeatMs)
	}

	/** Nothing is added to what a reader has not taken: that is on its way and shows life by itself. */
	#beat(): void {
		if (this.#response.writableNeedDrain) return
		this.#send(HEARTBEAT_BLOCK)
		if (this.#cursor === null) return
		const { plan_id } = this.#options
		this.#send(itemBlock({ kind: 'frame', frame: { frame: 'position', plan_id, cursor: this.#cursor } }))
	}

	/** A reader of SSE says nothing; that it takes what is sent is its sign of life. */
	readonly #taken = (error?: Error | null): void => {
		if (error == null) this.#options.connection.seen()
	}

	#send(text: string): void {
		if (!this.#response.destroyed) this.#response.write(text, this.#taken)
	}
}

/** A reader that leaves while something is written to it is no failure: `close` follows and ends its stream. */
function ignoreBrokenPipe(): void {}
