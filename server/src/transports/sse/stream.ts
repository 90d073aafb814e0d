import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { constants, createGzip, type Gzip } from 'node:zlib'
import type { HttpBindings } from '@hono/node-server'
import type { PlanstreamError } from '@planstream/shared'
import type { Context as HonoContext } from 'hono'
import { parseAccept } from 'hono/utils/accept'
import { type AnswerBudget, socketProgress, type UnreadOutput } from '../../connections/answer-budget.js'
import type {
	CarriedStream,
	Connection,
	ConnectionEnds,
	ConnectionLimits,
	Connections,
	Transport,
} from '../../connections/connections.js'
import { type SendBuffer, WriteQueue } from '../../connections/flow.js'
import type { Principal } from '../../hub/principal.js'
import type { Schedule } from '../../ops/clock.js'

/** Encodes text for the body of a response: as a chunk of its own (RFC 9112 section 7.1), or unchanged. */
export function encodeBody(text: string, isChunked: boolean): Buffer {
	if (!isChunked) return Buffer.from(text)
	const length = Buffer.byteLength(text)
	const head = `${length.toString(16)}\r\n`
	const bytes = Buffer.allocUnsafe(head.length + length + 2)
	bytes.write(head, 'latin1')
	bytes.write(text, head.length)
	bytes.write('\r\n', head.length + length, 'latin1')
	return bytes
}

/**
 * Flushes each write, so that it can be read at the other end at once. Memory per reader: 2^(windowBits + 2) + 2^(memLevel + 9) bytes (zlib.net/zlib_tech.html), so 24 KiB instead of zlib's default
 * of 256 KiB.
 */
const GZIP_OPTIONS = { windowBits: 12, memLevel: 4, flush: constants.Z_SYNC_FLUSH } as const

/** Whether an `Accept-Encoding` includes gzip. */
export function acceptsGzip(header: string | undefined): boolean {
	return parseAccept(header ?? '').some(({ type, q }) => type.toLowerCase() === 'gzip' && q > 0)
}

function addGzipHeaders({ vary, ...headers }: OutgoingHttpHeaders): OutgoingHttpHeaders {
	return { ...headers, 'content-encoding': 'gzip', vary: [vary ?? [], 'accept-encoding'].flat().join(', ') }
}

/**
 * Headers of every answer with server-sent events, besides those of all responses. Proxies neither store, change nor hold back
 * the stream.
 */
export const SSE_HEADERS = {
	'content-type': 'text/event-stream',
	'cache-control': 'no-cache, no-transform',
	'x-accel-buffering': 'no',
} as const

export interface SseStreamOptions {
	readonly connections: Connections
	readonly answers: AnswerBudget
	readonly limits: ConnectionLimits
	readonly schedule: Schedule
}

export type SseContext = HonoContext<{ Bindings: HttpBindings }>

/** The client of a stream. */
export interface SsePeer {
	readonly transport: Transport
	readonly principal: Principal
	readonly client_id: string | undefined
}

/** The content of a stream. */
export interface SseContent extends CarriedStream {
	/** Called when the reader is gone, or its time is up. */
	stop(): void
	/** Returns the text of a heartbeat. */
	heartbeat(): string
}

export interface SseOpening {
	/** `SSE_HEADERS`, and those of the dialect. */
	readonly headers: OutgoingHttpHeaders
	/** Sent together with the headers. */
	readonly block: string
	/** Milliseconds until the stream ends by itself. @defaultValue never */
	readonly closeAfterMs?: number | undefined
}

/**
 * A response that streams server-sent events. It counts as a connection until it is disposed, which also ends it. After the
 * headers, HTTP chunks are written straight to the socket, so that all readers share the same bytes.
 */
export class SseStream implements ConnectionEnds, SendBuffer, UnreadOutput, Disposable {
	readonly transport: Transport
	readonly connection: Connection
	readonly #options: SseStreamOptions
	readonly #response: ServerResponse
	readonly #socket: Socket
	readonly #queue: WriteQueue
	readonly #content: SseContent
	/** The response's own `end`, which is hidden from the application around this one while the stream runs. */
	readonly #end: () => ServerResponse
	#heartbeat: Disposable | null = null
	#closing: Disposable | null = null
	/** Resolves when the headers are written: a pipelined response may still hold the socket. */
	#opened: Promise<void> | null = null
	readonly #gzip: Gzip | null
	#ended = false

	/** @throws PlanstreamError `too_many_connections`, `draining` */
	constructor({ env: { incoming, outgoing } }: SseContext, options: SseStreamOptions, peer: SsePeer, content: SseContent) {
		const wantsGzip = options.limits.compression && acceptsGzip(incoming.headers['accept-encoding'])
		this.#gzip = wantsGzip ? createGzip(GZIP_OPTIONS) : null
		const { socket } = incoming
		this.transport = peer.transport
		this.#options = options
		this.#response = outgoing
		this.#end = outgoing.end
		this.#socket = socket
		this.#content = content
		this.#queue = new WriteQueue(this)
		const { tenant, expired } = peer.principal
		this.connection = options.connections.open(this)
		this.connection.identify({ tenant, client_id: peer.client_id, expired })
		this.connection.addStream(content)
		socket.on('close', this.#stop)
		if (socket.destroyed) queueMicrotask(this.#stop)
	}

	/** The stream to wait for. The gzip stops taking data while the socket behind it is full. */
	get writable(): Gzip | Socket {
		return this.#gzip ?? this.#socket
	}

	get queued(): number {
		const { writableLength } = this.#socket
		if (this.#gzip === null) return writableLength
		return writableLength + this.#gzip.writableLength + this.#gzip.readableLength
	}

	get limit(): number {
		return this.#options.limits.sendBufferBytes
	}

	get progress(): number {
		return socketProgress(this.#socket)
	}

	get isOver(): boolean {
		return this.#socket.destroyed || this.queued === 0
	}

	giveUp(reason: PlanstreamError): void {
		this.connection.leave(reason)
	}

	get tenant(): string {
		return this.connection.owner?.tenant ?? ''
	}

	get lagging(): boolean {
		return this.#queue.full
	}

	terminate(): void {
		this.#response.destroy()
	}

	/** Whether the headers were sent. */
	get isOpen(): boolean {
		return this.#heartbeat !== null
	}

	/** Whether writes must be HTTP chunks already. HTTP/1.0 has none, and compressed data is chunked after the gzip. */
	get isChunked(): boolean {
		return this.#gzip === null && this.#response.chunkedEncoding
	}

	/**
	 * Sends the headers and the first block. The connection closes with the stream: a reader that resumed on a kept connection
	 * could reach a server that is stopping, and an EventSource gives up for good when it is refused.
	 */
	open(context: SseContext, { headers, block, closeAfterMs }: SseOpening): void {
		// Headers come from a response without a body: one that was started in the context would be sent beside the stream.
		const all = { ...Object.fromEntries(context.body(null).headers), ...headers }
		const response = this.#response
		response.on('error', ignoreBrokenPipe)
		response.shouldKeepAlive = false
		response.writeHead(200, this.#gzip === null ? all : addGzipHeaders(all))
		hideFromApplication(response)
		this.#opened = new Promise((resolve) => {
			const onOpened = (): void => {
				this.#opened = null
				resolve()
			}
			// A pipelined response without the socket may never be written.
			if (response.socket === null) response.once('close', onOpened)
			if (this.#gzip === null) this.#begin(block, onOpened)
			else this.#openGzip(this.#gzip, block, onOpened)
		})
		this.#scheduleHeartbeat()
		if (closeAfterMs !== undefined) this.#closing = this.#options.schedule(this.#stop, closeAfterMs)
	}

	/** @returns null when the signal aborted and there is no room */
	async turn(signal?: AbortSignal): Promise<Disposable | null> {
		if (this.#opened !== null) await this.#opened
		return this.#queue.take(signal)
	}

	/** Waits until another item may be made. @returns false when the signal aborted and there is no room */
	async waitForRoom(signal: AbortSignal): Promise<boolean> {
		const turn = await this.turn(signal)
		turn?.[Symbol.dispose]()
		return turn !== null
	}

	/** @returns false when there is no room for more */
	write(bytes: Buffer): boolean {
		if (this.#ended || this.#socket.destroyed) return true
		const hasRoom = this.writable.write(bytes)
		// SSE clients send nothing: an empty send buffer is their only sign of life.
		if (this.#socket.writableLength === 0) this.connection.touch()
		if (hasRoom || this.queued === 0) return true
		if (this.#gzip === null) this.#options.answers.watch(this)
		return !this.#queue.full
	}

	send(text: string): void {
		this.write(encodeBody(text, this.isChunked))
	}

	[Symbol.dispose](): void {
		if (this.#ended) return
		this.#ended = true
		this.#heartbeat?.[Symbol.dispose]()
		this.#closing?.[Symbol.dispose]()
		this.#socket.off('close', this.#stop)
		this.connection.removeStream(this.#content)
		this.connection[Symbol.dispose]()
		if (!this.isOpen || this.#response.destroyed) this.#gzip?.destroy()
		else if (this.#gzip === null) this.#end.call(this.#response)
		else this.#gzip.end()
	}

	readonly #stop = (): void => this.#content.stop()

	/**
	 * Sends headers and block in one packet, but as two writes: the response keeps its header text, and joined to the block it
	 * would be kept in pieces.
	 */
	#begin(block: string, onOpened: () => void): void {
		const response = this.#response
		this.#socket.cork()
		response.flushHeaders()
		response.write(block, onOpened)
		this.#socket.uncork()
	}

	/**
	 * Pipes the gzip into the response. The headers leave with the first compressed block, and the gzip pauses while the response
	 * is full.
	 */
	#openGzip(gzip: Gzip, block: string, onOpened: () => void): void {
		const response = this.#response
		response.once('close', () => gzip.destroy())
		gzip.on('pause', () => this.#options.answers.watch(this))
		gzip.pipe(response, { end: false })
		gzip.once('end', () => this.#end.call(response))
		gzip.write(block, onOpened)
	}

	/** Skips a heartbeat while data waits for the reader: that data is a sign of life itself. */
	#scheduleHeartbeat(): void {
		const { schedule, limits } = this.#options
		this.#heartbeat = schedule(() => {
			if (this.#opened === null && !this.#socket.writableNeedDrain) this.send(this.#content.heartbeat())
			this.#scheduleHeartbeat()
		}, limits.heartbeatMs)
	}
}

/**
 * Makes a response ignore a second head and end. An application whose middleware sets a header after `next()` has Hono make another
 * response of the one that says the stream has begun, and the Node adapter would send that one, too, which ends the stream.
 */
function hideFromApplication(response: ServerResponse): void {
	response.writeHead = ignoreCall
	response.end = ignoreCall
}

function ignoreCall(this: ServerResponse): ServerResponse {
	return this
}

/** A reader that leaves during a write is not a failure: `close` follows and ends its stream. */
function ignoreBrokenPipe(): void {}
