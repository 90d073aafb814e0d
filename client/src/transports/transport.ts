import type { StreamRoute } from '../types.js'

export type TransportName = 'websocket' | 'sse' | 'poll'

/** What to stream, and behind which position. */
export interface StreamRequest {
	readonly route: StreamRoute
	readonly input: object
	/** The cursor of the last item seen, which wins over `input.after`; null on the first connection. */
	readonly lastCursor: string | null
}

/** One item as it came: the JSON of an event or of a control frame, and the position behind it. */
export interface Delivery {
	/** Null on a `problem` frame alone. */
	readonly cursor: string | null
	readonly item: unknown
}

/**
 * The items of one connection, in the server's order, each once. It ends when the server closed the stream in good
 * order, and throws a {@link ConnectionLost} or a PlanstreamError when not. What came before the end is delivered before it.
 */
export type Stream = AsyncIterable<Delivery>

/** The port: how a stream of items comes from the server. WebSocket, SSE and polling implement it. */
export interface Transport {
	readonly name: TransportName
	/**
	 * Opens one stream and settles when the server has accepted it.
	 *
	 * @param signal - ends the attempt or the stream and releases all it holds; an attempt then rejects, a stream ends
	 * @returns `finished` when the server says that there is nothing more behind the position
	 * @throws Cut when another attempt may succeed
	 * @throws PlanstreamError when the server refuses for good
	 */
	open(request: StreamRequest, signal: AbortSignal): Promise<Stream | 'finished'>
}

/** The end of a connection, or of the attempt to make one, after which another attempt may succeed. */
export class ConnectionLost extends Error {
	override readonly name = 'Cut'
	/** The server asks to stay away for so long; null when it did not. */
	readonly retryAfterMs: number | null

	constructor(message: string, { retryAfterMs = null, cause }: { retryAfterMs?: number | null; cause?: unknown } = {}) {
		super(message, { cause })
		this.retryAfterMs = retryAfterMs
	}
}

/** Nothing came, although there was something to come: it may be held back on its way until the response ends. */
export class BufferedByProxy extends ConnectionLost {}
