import type { EndFrame, ReadyFrame } from '@planstream/shared'
import type { StreamItem } from '../hub/stream.js'

/** Encodes the items of a stream as bytes. */
export interface Encoder {
	readonly encode: (item: StreamItem) => Buffer
}

/** The encoding of a transport. */
export interface Encoding extends Encoder {
	/** Streams whose encodings have the same key receive identical bytes, made once. */
	readonly key: string
	/** Starts to encode for readers that receive the same items in order. Absent when the bytes of an item never depend on those before. */
	readonly context?: () => CompressionState
}

/** An encoder for readers that have received everything it has encoded. */
export interface CompressionState extends Encoder {
	/** Whether nothing was encoded yet that the next bytes could refer to. */
	readonly isNew: () => boolean
	/** Whether the next bytes no longer depend on when it started. */
	readonly isFull: () => boolean
}

/** The writing end of a connection. */
export interface ByteSink {
	/**
	 * Writes bytes, whether there is room or not. Does nothing on a closed connection.
	 *
	 * @returns false when there is no room for more
	 */
	write(bytes: Buffer): boolean
}

/** The destination of one stream: the writing end of its connection, and how its transport starts and ends a stream. */
export interface StreamTarget {
	readonly sink: ByteSink
	/** Read once {@link StreamTarget.begin} has returned. */
	readonly encoding: Encoding
	/**
	 * Called with the first frame before anything is written.
	 *
	 * @returns false to end the stream without writing anything
	 */
	begin?(ready: ReadyFrame): boolean
	/**
	 * Resolves when it is this stream's turn and the connection has room; disposing the result passes the turn on.
	 *
	 * @returns null when the signal aborted and there is no room
	 */
	turn(signal?: AbortSignal): Promise<Disposable | null>
	/** Called after the last item was written. */
	ended(end: EndFrame): void
	/** Called when the stream failed after the event at `cursor`. */
	failed(thrown: unknown, cursor: string): void
}
