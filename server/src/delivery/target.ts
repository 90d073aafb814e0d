import type { EndFrame, ReadyFrame } from '@planstream/shared'
import type { PlanReader, ReaderPosition } from '../hub/reader.js'
import type { StreamItem } from '../hub/stream.js'

/** Puts the items of a stream into bytes. */
export interface Encoder {
	readonly encode: (item: StreamItem) => Buffer
}

/** How a transport puts the items of a stream into bytes. */
export interface Encoding extends Encoder {
	/** Streams whose wires have the same key get the very same bytes, made once. */
	readonly key: string
	/** Begins to encode for readers who get the same items one after the other. Absent: the bytes of an item never depend on those before. */
	readonly context?: () => CompressionState
}

/** Encodes for those who have got all that it has encoded. */
export interface CompressionState extends Encoder {
	/** Whether nothing was encoded yet that the next bytes could refer to. */
	readonly isNew: () => boolean
	/** Whether it makes no difference any more when it began. */
	readonly isFull: () => boolean
}

/** The writing end of a connection. */
export interface ByteSink {
	/** Hands bytes over, whether there is room or not. Does nothing on a connection that is closed. @returns false when there is no room for more */
	write(bytes: Buffer): boolean
}

/** Where one stream goes: the writing end of its connection, and what its transport does at its ends. */
export interface StreamTarget {
	readonly sink: ByteSink
	/** Looked at once {@link StreamTarget.begin} has returned. */
	readonly wire: Encoding
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

/** Where a plan's loop is in the log. */
export interface HeadPosition {
	readonly position: ReaderPosition
	/** null while the plan has no log. */
	readonly epoch: string | null
	readonly headSeq: number
}

/** A reader as the loop of its plan sees it. */
export interface Member {
	readonly reader: PlanReader
	readonly outlet: StreamTarget
	/** Has a pace of its own, and always reads by itself. */
	readonly isPaced: boolean
	/** The class whose bytes it gets; null while it reads by itself. */
	group: Seat | null
	/** Events it has got; while it has a seat, less by what the seat had handed over before. */
	sent: number
	/** Leaves its class and reads by itself, from where its reader is. */
	resume(): void
	/** The same for want of room. */
	onBackpressure(): void
}

/** What holds members at the head of a plan. */
export interface Seat {
	/** Events that were handed over here to everybody since there was anybody. */
	readonly events: number
	/** Lets a member go, whose reader then is where the loop is. */
	leave(member: Member, point: HeadPosition): void
}
