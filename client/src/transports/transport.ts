import type { PlanstreamError } from '@planstream/shared'
import type { StreamRoute } from '../types.js'

export type TransportName = 'websocket' | 'sse' | 'poll'

/** A stream to open, and the position to resume after. */
export interface StreamRequest {
	readonly route: StreamRoute
	readonly input: object
	/** The cursor of the last item seen, which wins over `input.after`; null on the first connection. */
	readonly lastCursor: string | null
}

/** One received item: the JSON of an event or of a control frame, and the position after it. */
export interface Delivery {
	/** Null on `problem` frames only. */
	readonly cursor: string | null
	readonly item: unknown
}

/**
 * The items of one connection, each once and in the server's order. It ends when the server closes the stream cleanly; otherwise it
 * throws a {@link ConnectionLost} or a PlanstreamError, after it has delivered everything that arrived before.
 */
export type Stream = AsyncIterable<Delivery>

/** The port for streams from the server, implemented by WebSocket, SSE and polling. */
export interface Transport {
	readonly name: TransportName
	/**
	 * Opens one stream and settles when the server has accepted it.
	 *
	 * @param signal - ends the attempt or the stream and releases all it holds; an attempt then rejects, a stream ends
	 * @returns `finished` when nothing follows the position
	 * @throws ConnectionLost when another attempt may succeed
	 * @throws PlanstreamError when the server refuses permanently
	 */
	open(request: StreamRequest, signal: AbortSignal): Promise<Stream | 'finished'>
}

/** The loss of a connection, or a failed attempt to connect, after which another attempt may succeed. */
export class ConnectionLost extends Error {
	override readonly name = 'ConnectionLost'
	/** Milliseconds the server asks to wait before the next attempt; null for none. */
	readonly retryAfterMs: number | null

	constructor(message: string, { retryAfterMs = null, cause }: { retryAfterMs?: number | null; cause?: unknown } = {}) {
		super(message, { cause })
		this.retryAfterMs = retryAfterMs
	}
}

/** A failure that every attempt over this transport would have, though another transport may work. */
export class TransportUnusable extends ConnectionLost {
	/** The error when there is no other transport. */
	readonly refusal: PlanstreamError
	/** Whether polling works where this does not. */
	readonly heldBack: boolean

	constructor(refusal: PlanstreamError, { heldBack = false }: { readonly heldBack?: boolean } = {}) {
		super(refusal.message, { cause: refusal })
		this.refusal = refusal
		this.heldBack = heldBack
	}
}

/** Nothing arrived although something was due: a proxy may buffer the response until it ends. */
export class BufferedByProxy extends ConnectionLost {}
