import type { StreamItem } from '../hub/stream-item.js'
import { cursorOf, textOf } from '../hub/stream-item.js'

/** Server-sent events as tRPC's own adapter writes them: the id behind the data, and an empty line more than is needed. */

export function trpcItemBlock(item: StreamItem): string {
	return `data: ${textOf(item)}\nid: ${cursorOf(item) ?? ''}\n\n\n`
}

/** An item of a stream that cannot be resumed. */
export function trpcDataBlock(data: unknown): string {
	return `data: ${JSON.stringify(data)}\n\n\n`
}

/** What tRPC's clients do not hand on. */
export function trpcEventBlock(event: 'connected' | 'ping' | 'return' | 'serialized-error', data = ''): string {
	return `event: ${event}\ndata: ${data}\n\n\n`
}
