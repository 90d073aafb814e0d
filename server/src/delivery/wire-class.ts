import type { EventFilter } from '../hub/event-filter.js'
import type { StreamItem } from '../hub/stream-item.js'
import type { StoredEvent } from '../log/event-log.js'
import { type Chunk, chunksOf } from './chunk.js'
import type { LivePoint, Member, Seat } from './member.js'
import type { Sink, Wire, WireContext } from './outlet.js'

/** Of a wire that needs none. */
const NO_CONTEXT = { isNew: () => true, isFull: () => true } as const

/**
 * The readers at the head of a plan that get the very same bytes. Unless a filter hides events, their position is the loop's. What is
 * looked at for each of a thousand readers costs more than what is done, so that an event touches no more of a reader than its sink.
 */
export class WireClass implements Seat {
	readonly #context: WireContext
	readonly #filter: EventFilter | null
	readonly #sinks = new Map<Member, Sink>()
	#events = 0

	constructor(wire: Wire, filter: EventFilter | null) {
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
		member.handed -= this.#events
		member.seat = this
	}

	leave(member: Member, { place, headSeq }: LivePoint, hid?: boolean): void {
		member.handed += this.#events
		this.#sinks.delete(member)
		member.seat = null
		member.reader.moveTo(place, headSeq, hid)
	}

	/** Hands all members over to another class that is full, too. */
	mergeInto(other: WireClass, point: LivePoint): void {
		for (const member of this.#sinks.keys()) {
			this.leave(member, point)
			other.add(member)
		}
	}

	/** Hands over what the loop has read. Who has no room for more reads on from the log by itself. */
	deliver(events: readonly StoredEvent[], point: LivePoint): void {
		const shown = this.#filter === null ? events : events.filter(this.#filter.shows)
		const hid = shown.at(-1) !== events.at(-1)
		const chunks = chunksOf(shown.map(toItem), this.#context)
		for (const [index, chunk] of chunks.entries()) {
			const reached = index < chunks.length - 1 && chunk.place !== null ? { ...point, place: chunk.place } : point
			this.#hand(chunk, reached, hid)
		}
		if (this.#filter !== null) this.#move(point, hid)
	}

	/** Lets every reader that is chosen read on by itself, from where the loop is. */
	release(point: LivePoint, isChosen: (member: Member) => boolean): void {
		for (const member of this.#sinks.keys()) {
			if (!isChosen(member)) continue
			this.leave(member, point)
			member.readOn()
		}
	}

	/** @param reached - where a reader is that has the chunk */
	#hand({ bytes, events }: Chunk, reached: LivePoint, hid: boolean): void {
		this.#events += events
		for (const [member, sink] of this.#sinks) {
			if (sink.write(bytes)) continue
			this.leave(member, reached, hid)
			member.fallBehind()
		}
	}

	/** Readers that are shown little are told where they are, from time to time. */
	#move({ place, headSeq }: LivePoint, hid: boolean): void {
		for (const [{ reader }, sink] of this.#sinks) {
			reader.moveTo(place, headSeq, hid)
			const moved = place.seq === headSeq ? reader.movedByFilter() : null
			if (moved !== null) sink.write(this.#context.encode(moved))
		}
	}
}

function toItem(stored: StoredEvent): StreamItem {
	return { kind: 'event', stored }
}
