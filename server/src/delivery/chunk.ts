import { type Place, placeOf } from '../hub/plan-reader.js'
import type { StreamItem } from '../hub/stream-item.js'
import type { Encoder } from './outlet.js'

/** Items are joined until they have so many bytes, so that many small ones cost one write and a large one is alone. */
const JOINED_BYTES = 16 * 1024

/** Items as the bytes of one write. */
export interface Chunk {
	readonly bytes: Buffer
	/** How many of the items are events. */
	readonly events: number
	/** Behind the last event; null without one. */
	readonly place: Place | null
}

/**
 * Takes the next items that go together.
 *
 * @param most - events at most
 * @returns null when there are no more items
 */
export function takeChunk(items: Iterator<StreamItem>, { encode }: Encoder, most = Number.POSITIVE_INFINITY): Chunk | null {
	const parts: Buffer[] = []
	let size = 0
	let events = 0
	let place: Place | null = null
	while (size < JOINED_BYTES && events < most) {
		const { done, value: item } = items.next()
		if (done === true) break
		const part = encode(item)
		parts.push(part)
		size += part.length
		if (item.kind !== 'event') continue
		events++
		place = placeOf(item.stored)
	}
	const [first] = parts
	if (first === undefined) return null
	return { bytes: parts.length === 1 ? first : Buffer.concat(parts, size), events, place }
}

/** All items, in as many chunks as they need. */
export function chunksOf(items: Iterable<StreamItem>, encoder: Encoder): readonly Chunk[] {
	const left = items[Symbol.iterator]()
	const chunks: Chunk[] = []
	for (let chunk = takeChunk(left, encoder); chunk !== null; chunk = takeChunk(left, encoder)) chunks.push(chunk)
	return chunks
}
