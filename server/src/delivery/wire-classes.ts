import type { EventFilter } from '../hub/event-filter.js'
import type { StoredEvent } from '../log/event-log.js'
import type { LivePoint, Member } from './member.js'
import type { Wire } from './outlet.js'
import { WireClass } from './wire-class.js'

/**
 * The readers at the head of a plan that are shown the same on the same wire. Where bytes refer to those before them, a newcomer cannot
 * read what the others get, so those who came since the same event are a class of their own until that makes no difference any more.
 */
export class WireClasses {
	readonly #wire: Wire
	readonly #filter: EventFilter | null
	/** The oldest first. */
	#classes: readonly WireClass[] = []

	constructor(wire: Wire, filter: EventFilter | null) {
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
			const opened = new WireClass(this.#wire, this.#filter)
			this.#classes = [...this.#classes, opened]
			opened.add(member)
		}
	}

	deliver(events: readonly StoredEvent[], point: LivePoint): void {
		for (const one of this.#classes) one.deliver(events, point)
		if (this.#classes.length > 1) this.#unite(point)
	}

	/** Lets every reader that is chosen read on by itself, from where the loop is. */
	release(point: LivePoint, isChosen: (member: Member) => boolean): void {
		for (const one of this.#classes) one.release(point, isChosen)
	}

	/** Those that have seen enough to be told the same in the same bytes become one. */
	#unite(point: LivePoint): void {
		const [oldest, ...younger] = this.#classes.filter(({ size }) => size > 0)
		if (oldest === undefined) return
		for (const one of younger) if (one.isFull) one.mergeInto(oldest, point)
		this.#classes = [oldest, ...younger.filter(({ size }) => size > 0)]
	}
}
