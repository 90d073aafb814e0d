import type { StreamItem } from '../hub/stream-item.js'

/** Where a transport of ours puts a stream. */
export interface Outlet {
	/**
	 * Resolves when the connection takes the next item of this stream; it is given over before the turn is disposed.
	 *
	 * @returns null when the signal aborted and there is no room
	 */
	turn(signal: AbortSignal): Promise<Disposable | null>
	/** Hands one item to the connection. */
	write(item: StreamItem): void
}

export interface DeliveryEnds {
	/** Aborts when the reader is gone or wants no more: nothing more is written. */
	readonly left: AbortSignal
	/** Aborts when the stream is to end, whoever asks for it. */
	readonly ending: AbortSignal
}

/**
 * The one loop between the hub and a connection: an item is asked for when the one before it was written, and written when there is
 * room, so a reader that takes nothing costs no more than its send buffer and the item in hand. A stream that is to end while there
 * is no room ends without a last word; its reader resumes with the cursor it has.
 */
export async function deliver(items: AsyncIterable<StreamItem>, outlet: Outlet, { left, ending }: DeliveryEnds): Promise<void> {
	for await (const item of items) {
		using turn = await outlet.turn(ending)
		if (turn === null || left.aborted) return
		outlet.write(item)
	}
}
