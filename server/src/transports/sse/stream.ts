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

/** Text as it stands in the body of a response: in a chunk of its own (RFC 9112 section 7.1), or as it is. */
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

/** What one reader may cost: 2^(windowBits + 2) + 2^(memLevel + 9) bytes (zlib.net/zlib_tech.html), 24 KiB, where zlib's own choice is 256 KiB. */
const SMALL = { windowBits: 12, memLevel: 4 } as const

/** Compresses a stream without holding anything back: what is written can be read at the other end at once. */
function createGzipStream(): Gzip {
	return createGzip({ ...SMALL, flush: constants.Z_SYNC_FLUSH })
}

/** Whether a request asks for gzip, by its `Accept-Encoding`. */
function acceptsGzip(header: string | undefined): boolean {
	return parseAccept(header ?? '').some(({ type, q }) => type.toLowerCase() === 'gzip' && q > 0)
}

/** The headers of a response that is compressed. */
function addGzipHeaders({ vary, ...headers }: OutgoingHttpHeaders): OutgoingHttpHeaders {
	return { ...headers, 'content-encoding': 'gzip', vary: [vary ?? [], 'accept-encoding'].flat().join(', ') }
}

export interface SseStreamOptions {
	readonly connections: Connections
	readonly answers: AnswerBudget
	readonly limits: ConnectionLimits
	readonly schedule: Schedule
}

export type SseContext = HonoContext<{ Bindings: HttpBindings }>

/** Who asks for a stream. */
export interface SsePeer {
	readonly transport: Transport
	readonly principal: Principal
	/** What it calls itself. */
	readonly client_id: string | undefined
}

/** What is streamed. */
export interface SseContent extends CarriedStream {
	/** Called when the reader is gone, or has had its time. */
	stop(): void
	/** What a sign of life is. */
	heartbeat(): string
}

export interface SseOpening {
	readonly headers: OutgoingHttpHeaders
	/** Sent with the headers at once. */
	readonly block: string
	/** Ends the stream by itself after so long; absent: never. */
	readonly closeAfterMs?: number | undefined
}

/**
 * A response that is a stream of server-sent events, counted as a connection until it is disposed, which also ends it. After the headers
 * everything is written to the socket itself, in the frames of HTTP: so the same bytes go to every reader.
 */
export class SseStream implements ConnectionEnds, SendBuffer, UnreadOutput, Disposable {
	readonly transport: Transport
	readonly connection: Connection
	readonly #options: SseStreamOptions
	readonly #response: ServerResponse
	readonly #socket: Socket
	readonly #queue: WriteQueue
	readonly #content: SseContent
	#heartbeat: Disposable | null = null
	#closing: Disposable | null = null
	/** Resolves when the headers are on the socket, which an answer before this one may still have. */
	#opened: Promise<void> | null = null
	readonly #gzip: Gzip | null
	#ended = false

	/** @throws PlanstreamError `too_many_connections`, `draining` */
	constructor({ env: { incoming, outgoing } }: SseContext, options: SseStreamOptions, peer: SsePeer, content: SseContent) {
		const wantsGzip = options.limits.compression && acceptsGzip(incoming.headers['accept-encoding'])
		this.#gzip = wantsGzip ? createGzipStream() : null
		const { socket } = incoming
		this.transport = peer.transport
		this.#options = options
		this.#response = outgoing
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

	/** A gzip takes nothing more while the socket behind it has no room, so that it is the one to wait for. */
	get writable(): Gzip | Socket {
		return this.#gzip ?? this.#socket
	}

	/** Bytes that wait for the reader. */
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

	/** Whether what is written stands in chunks already: HTTP/1.0 knows none, and what is compressed is put into them afterwards. */
	get isChunked(): boolean {
		return this.#gzip === null && this.#response.chunkedEncoding
	}

	/**
	 * Its connection goes with the stream, as the headers say: a reader that resumes on a connection it kept could meet a server that
	 * stops, and an EventSource gives up for good when it is refused.
	 */
	open({ headers, block, closeAfterMs }: SseOpening): void {
		const response = this.#response
		response.on('error', ignoreBrokenPipe)
		response.shouldKeepAlive = false
		response.writeHead(200, this.#gzip === null ? headers : addGzipHeaders(headers))
		this.#opened = new Promise((resolve) => {
			const onOpened = (): void => {
				this.#opened = null
				resolve()
			}
			// Behind another answer nothing may ever be written.
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

	/** @returns false when there is no room for more */
	write(bytes: Buffer): boolean {
		if (this.#ended || this.#socket.destroyed) return true
		const hasRoom = this.writable.write(bytes)
		// A reader of SSE says nothing; that it takes what is sent is its sign of life.
		if (this.#socket.writableLength === 0) this.connection.touch()
		if (hasRoom || this.queued === 0) return true
		if (this.#gzip === null) this.#options.answers.watch(this)
		return !this.#queue.full
	}

	/** Sends text to this one reader. */
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
		else if (this.#gzip === null) this.#response.end()
		else this.#gzip.end()
	}

	/** The reader is gone, or has had its time. */
	readonly #stop = (): void => this.#content.stop()

	/** The head goes out in one packet with the block, but as a text of its own: a response keeps it, and would keep it in pieces. */
	#begin(block: string, onOpened: () => void): void {
		const response = this.#response
		this.#socket.cork()
		response.flushHeaders()
		response.write(block, onOpened)
		this.#socket.uncork()
	}

	/** Headers and a first block go out as soon as they are compressed; from then on the response takes what comes out of the gzip, which pauses while there is no room. */
	#openGzip(gzip: Gzip, block: string, onOpened: () => void): void {
		const response = this.#response
		response.once('close', () => gzip.destroy())
		gzip.on('pause', () => this.#options.answers.watch(this))
		gzip.pipe(response)
		gzip.write(block, onOpened)
	}

	/** Nothing is added to what a reader has not taken: that is on its way and shows life by itself. */
	#scheduleHeartbeat(): void {
		const { schedule, limits } = this.#options
		this.#heartbeat = schedule(() => {
			if (this.#opened === null && !this.#socket.writableNeedDrain) this.send(this.#content.heartbeat())
			this.#scheduleHeartbeat()
		}, limits.heartbeatMs)
	}
}

/** A reader that leaves while something is written to it is no failure: `close` follows and ends its stream. */
function ignoreBrokenPipe(): void {}
