import type { EventFilter } from '../hub/event-filter.js'
import type { Place } from '../hub/plan-reader.js'
import type { StreamItem } from '../hub/stream-item.js'
import type { StoredEvent } from '../log/event-log.js'
import { type Chunk, chunksOf } from './chunk.js'
import type { LivePoint, Member, Seat } from './member.js'
import type { Wire } from './outlet.js'

/** The readers at the head of a plan that get the very same bytes. Unless a filter hides events, their position is the loop's. */
export class WireClass implements Seat {
	readonly #wire: Wire
	readonly #filter: EventFilter | null
	readonly #members = new Set<Member>()

	constructor(wire: Wire, filter: EventFilter | null) {
		this.#wire = wire
		this.#filter = filter
	}

	get size(): number {
		return this.#members.size
	}

	add(member: Member): void {
		this.#members.add(member)
		member.seat = this
	}

	leave(member: Member, { place, headSeq }: LivePoint): void {
		this.#members.delete(member)
		member.seat = null
		if (this.#filter === null) member.reader.moveTo(place, headSeq, false)
	}

	/** Hands over what the loop has read. Who has no room for more reads on from the log by itself. */
	deliver(events: readonly StoredEvent[], point: LivePoint): void {
		const shown = this.#filter === null ? events : events.filter(this.#filter.shows)
		const chunks = chunksOf(shown.map(toItem), this.#wire)
		const hid = shown.at(-1) !== events.at(-1)
		for (const member of this.#members) {
			const reached = hand(member, chunks, point.place)
			if (reached !== null) {
				this.leave(member, point)
				member.reader.moveTo(reached, point.headSeq, hid)
				member.fallBehind()
			} else if (this.#filter !== null) this.#move(member, point, hid)
		}
	}

	/** Lets every reader that is chosen read on by itself, from where the loop is. */
	release(point: LivePoint, isChosen: (member: Member) => boolean): void {
		for (const member of this.#members) {
			if (!isChosen(member)) continue
			this.leave(member, point)
			member.readOn()
		}
	}

	/** A reader that is shown little is told where it is, from time to time. */
	#move({ reader, outlet }: Member, { place, headSeq }: LivePoint, hid: boolean): void {
		reader.moveTo(place, headSeq, hid)
		const moved = place.seq === headSeq ? reader.movedByFilter() : null
		if (moved !== null) outlet.write(this.#wire.encode(moved))
	}
}

/** @returns where a reader is that has no room for more; null for one that has */
function hand({ outlet }: Member, chunks: readonly Chunk[], end: Place): Place | null {
	for (const chunk of chunks) {
		const hasRoom = outlet.write(chunk.bytes)
		outlet.delivered(chunk.events)
		if (!hasRoom) return chunk === chunks.at(-1) ? end : chunk.place
	}
	return null
}

function toItem(stored: StoredEvent): StreamItem {
	return { kind: 'event', stored }
}
