import type { EventInput } from '../generated/event-inputs.js'

/** A batch of the server takes so many events. */
const MAX_BATCH_EVENTS = 256
/** Below the publish body's limit of 1 MiB, with room for what stands around the events. */
const MAX_BATCH_BYTES = 1_000_000
/** What may wait, the batch under way included. */
const MAX_BUFFERED_EVENTS = 1024
const MAX_BUFFERED_BYTES = 4 * 1024 * 1024

/** An event with the id that makes sending it again harmless. */
export type OutgoingEvent = EventInput & { readonly event_id: string }

/** An event on its way out. */
export interface Outgoing {
	readonly event: OutgoingEvent
	/** Its size as JSON. */
	readonly bytes: number
}

/** Events in their order, within a bound, cut into batches the server takes. */
export class Outbox<Item extends Outgoing> {
	readonly #waiting: Item[] = []
	#events = 0
	#bytes = 0

	/** Whether nothing waits to be cut. */
	get empty(): boolean {
		return this.#waiting.length === 0
	}

	/** Events that wait or are under way. */
	get size(): number {
		return this.#events
	}

	/** Whether there is room; an empty outbox takes an event of any size, for the server to judge. */
	hasRoom({ bytes }: Item): boolean {
		return this.#events === 0 || (this.#events < MAX_BUFFERED_EVENTS && this.#bytes + bytes <= MAX_BUFFERED_BYTES)
	}

	add(item: Item): void {
		this.#waiting.push(item)
		this.#events += 1
		this.#bytes += item.bytes
	}

	/** Takes the next batch out; it counts until it is settled. No batch holds an id twice, which the server refuses. */
	cut(): Item[] {
		const ids = new Set<string>()
		let bytes = 0
		let count = 0
		for (const item of this.#waiting) {
			bytes += item.bytes + 1
			const full = count === MAX_BATCH_EVENTS || bytes > MAX_BATCH_BYTES || ids.has(item.event.event_id)
			if (full && count > 0) break
			ids.add(item.event.event_id)
			count += 1
		}
		return this.#waiting.splice(0, count)
	}

	/** A batch is no longer on its way. */
	settled(batch: readonly Item[]): void {
		this.#events -= batch.length
		for (const { bytes } of batch) this.#bytes -= bytes
	}

	/** Takes out all that waits. */
	clear(): Item[] {
		const left = this.#waiting.splice(0)
		this.settled(left)
		return left
	}
}
