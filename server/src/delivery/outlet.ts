import type { EndFrame, ReadyFrame } from '@planstream/shared'
import type { StreamItem } from '../hub/stream-item.js'

/** Puts the items of a stream into bytes. */
export interface Encoder {
	readonly encode: (item: StreamItem) => Buffer
}

/** How a transport puts the items of a stream into bytes. */
export interface Wire extends Encoder {
	/** Streams whose wires have the same key get the very same bytes, made once. */
	readonly key: string
	/** Begins to encode for readers who get the same items one after the other. Absent: the bytes of an item never depend on those before. */
	readonly context?: () => WireContext
}

/** Encodes for those who have got all that it has encoded. */
export interface WireContext extends Encoder {
	/** Whether nothing was encoded yet that the next bytes could refer to. */
	readonly isNew: () => boolean
	/** Whether it makes no difference any more when it began. */
	readonly isFull: () => boolean
}

/** The writing end of a connection. */
export interface Sink {
	/** Hands bytes over, whether there is room or not. Does nothing on a connection that is closed. @returns false when there is no room for more */
	write(bytes: Buffer): boolean
}

/** Where one stream goes: the writing end of its connection, and what its transport does at its ends. */
export interface Outlet {
	readonly sink: Sink
	/** Looked at once {@link Outlet.begin} has returned. */
	readonly wire: Wire
	/**
	 * Called with the first frame before anything is written.
	 *
	 * @returns false when nothing is to be written at all
	 */
	begin?(ready: ReadyFrame): boolean
	/** Resolves when it is this stream's turn and the connection has room; the turn passes on when it is disposed. */
	turn(): Promise<Disposable | null>
	/** The last item was handed over. */
	ended(end: EndFrame): void
	/** The stream broke off behind a cursor. */
	failed(thrown: unknown, cursor: string): void
}
