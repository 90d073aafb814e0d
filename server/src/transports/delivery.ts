import type { StreamItem } from '../hub/stream-item.js'

/** Where a transport of ours puts a stream. */
export interface Outlet {
	/** Hands one item to the connection. */
	write(item: StreamItem): void
	/** Resolves when the connection takes the next item, when it is closed, or when the signal aborts. */
	drained(signal: AbortSignal): Promise<void>
}

/**
 * The one loop between the hub and a connection: an item is asked for when the one before it has gone, so a reader that takes nothing
 * costs no more than its send buffer. It ends with the stream, whose signal is also what ends a wait.
 */
export async function deliver(items: AsyncIterable<StreamItem>, outlet: Outlet, signal: AbortSignal): Promise<void> {
	for await (const item of items) {
		outlet.write(item)
		await outlet.drained(signal)
	}
}
