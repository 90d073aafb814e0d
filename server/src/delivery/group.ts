import { type EventFilter, positionAfter, type ReaderPosition } from '../hub/reader.js'
import type { StreamItem } from '../hub/stream.js'
import type { StoredEvent } from '../log/event-log.js'
import type { ByteSink, CompressionState, Encoder, Encoding, HeadPosition, Member, Seat } from './target.js'

/** Items are joined until they have so many bytes, so that many small ones cost one write and a large one is alone. */
const JOINED_BYTES = 16 * 1024

/** Items as the bytes of one write. */
export interface Chunk {
	readonly bytes: Buffer
	/** How many of the items are events. */
	readonly events: number
	/** Behind the last event; null without one. */
	readonly position: ReaderPosition | null
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
	let position: ReaderPosition | null = null
	while (size < JOINED_BYTES && events < most) {
		const { done, value: item } = items.next()
		if (done === true) break
		const part = encode(item)
		parts.push(part)
		size += part.length
		if (item.kind !== 'event') continue
		events++
		position = positionAfter(item.stored)
	}
	const [first] = parts
	if (first === undefined) return null
	return { bytes: parts.length === 1 ? first : Buffer.concat(parts, size), events, position }
}

/** All items, in as many chunks as they need. */
function chunksOf(items: Iterable<StreamItem>, encoder: Encoder): readonly Chunk[] {
	const left = items[Symbol.iterator]()
	const chunks: Chunk[] = []
	for (let chunk = takeChunk(left, encoder); chunk !== null; chunk = takeChunk(left, encoder)) chunks.push(chunk)
	return chunks
}

/** Of a wire that needs none. */
const NO_CONTEXT = { isNew: () => true, isFull: () => true } as const

/**
 * The readers at the head of a plan that get the very same bytes. Unless a filter hides events, their position is the loop's. What is
 * looked at for each of a thousand readers costs more than what is done, so that an event touches no more of a reader than its sink.
 */
export class BroadcastGroup implements Seat {
	readonly #context: CompressionState
	readonly #filter: EventFilter | null
	readonly #sinks = new Map<Member, ByteSink>()
	#events = 0

	constructor(wire: Encoding, filter: EventFilter | null) {
		this.#context = wire.context?.() ?? { ...NO_CONTEXT, encode: wire.encode }
		this.#filter = filter
	}

	get events(): number {
		return this.#events
	}

	get size(): number {
		return this.#sinks.size
	}

	/** Whether a newcomer can read what comes. */
	get isOpen(): boolean {
		return this.#context.isNew()
	}

	/** Whether what comes is the same in every class that is full. */
	get isFull(): boolean {
		return this.#context.isFull()
	}

	add(member: Member): void {
		this.#sinks.set(member, member.outlet.sink)
		member.sent -= this.#events
		member.group = this
	}

	leave(member: Member, { position: place, headSeq }: HeadPosition, filtered?: boolean): void {
		member.sent += this.#events
		this.#sinks.delete(member)
		member.group = null
		member.reader.moveTo(place, headSeq, filtered)
	}

	/** Hands all members over to another class that is full, too. */
	mergeInto(other: BroadcastGroup, point: HeadPosition): void {
		for (const member of this.#sinks.keys()) {
			this.leave(member, point)
			other.add(member)
		}
	}

	/** Hands over what the loop has read. Who has no room for more reads on from the log by itself. */
	deliver(events: readonly StoredEvent[], point: HeadPosition): void {
		const shown = this.#filter === null ? events : events.filter(this.#filter.shows)
		const filtered = shown.at(-1) !== events.at(-1)
		const chunks = chunksOf(shown.map(toItem), this.#context)
		for (const [index, chunk] of chunks.entries()) {
			const reached = index < chunks.length - 1 && chunk.position !== null ? { ...point, position: chunk.position } : point
			this.#send(chunk, reached, filtered)
		}
		if (this.#filter !== null) this.#move(point, filtered)
	}

	/** Lets every reader that is chosen read on by itself, from where the loop is. */
	release(point: HeadPosition, isChosen: (member: Member) => boolean): void {
		for (const member of this.#sinks.keys()) {
			if (!isChosen(member)) continue
			this.leave(member, point)
			member.resume()
		}
	}

	/** @param reached - where a reader is that has the chunk */
	#send({ bytes, events }: Chunk, reached: HeadPosition, filtered: boolean): void {
		this.#events += events
		for (const [member, sink] of this.#sinks) {
			if (sink.write(bytes)) continue
			this.leave(member, reached, filtered)
			member.onBackpressure()
		}
	}

	/** Readers that are shown little are told where they are, from time to time. */
	#move({ position: place, headSeq }: HeadPosition, filtered: boolean): void {
		for (const [{ reader }, sink] of this.#sinks) {
			reader.moveTo(place, headSeq, filtered)
			const moved = place.seq === headSeq ? reader.movedByFilter() : null
			if (moved !== null) sink.write(this.#context.encode(moved))
		}
	}
}

function toItem(stored: StoredEvent): StreamItem {
	return { kind: 'event', stored }
}

/**
 * The readers at the head of a plan that are shown the same on the same wire. Where bytes refer to those before them, a newcomer cannot
 * read what the others get, so those who came since the same event are a class of their own until that makes no difference any more.
 */
export class BroadcastGroups {
	readonly #wire: Encoding
	readonly #filter: EventFilter | null
	/** The oldest first. */
	#classes: readonly BroadcastGroup[] = []

	constructor(wire: Encoding, filter: EventFilter | null) {
		this.#wire = wire
		this.#filter = filter
	}

	get size(): number {
		return this.#classes.reduce((sum, { size }) => sum + size, 0)
	}

	add(member: Member): void {
		const newest = this.#classes.at(-1)
		if (newest?.isOpen === true) newest.add(member)
		else {
			const opened = new BroadcastGroup(this.#wire, this.#filter)
			this.#classes = [...this.#classes, opened]
			opened.add(member)
		}
	}

	deliver(events: readonly StoredEvent[], point: HeadPosition): void {
		for (const one of this.#classes) one.deliver(events, point)
		if (this.#classes.length > 1) this.#unite(point)
	}

	/** Lets every reader that is chosen read on by itself, from where the loop is. */
	release(point: HeadPosition, isChosen: (member: Member) => boolean): void {
		for (const one of this.#classes) one.release(point, isChosen)
	}

	/** Those that have seen enough to be told the same in the same bytes become one. */
	#unite(point: HeadPosition): void {
		const [oldest, ...younger] = this.#classes.filter(({ size }) => size > 0)
		if (oldest === undefined) return
		for (const one of younger) if (one.isFull) one.mergeInto(oldest, point)
		this.#classes = [oldest, ...younger.filter(({ size }) => size > 0)]
	}
}
