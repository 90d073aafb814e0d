import type { EventInput } from '../generated/event-inputs.js'

/** Maximum events in one batch, as the server allows. */
const MAX_BATCH_EVENTS = 256
/** Below the 1 MiB limit of a publish body, with room for the envelope. */
const MAX_BATCH_BYTES = 1_000_000
/** Bounds of the outbox, including the batch in flight. */
const MAX_BUFFERED_EVENTS = 1024
const MAX_BUFFERED_BYTES = 4 * 1024 * 1024

/** An event with the id that makes it safe to send again. */
export type OutgoingEvent = EventInput & { readonly event_id: string }

/** An event waiting to be sent. */
export interface Outgoing {
	readonly event: OutgoingEvent
	/** Size of its JSON. */
	readonly bytes: number
}

/** A bounded queue of events that is cut into batches the server accepts. */
export class Outbox<Item extends Outgoing> {
	readonly #waiting: Item[] = []
	#events = 0
	#bytes = 0

	/** Whether no event waits for a batch. */
	get empty(): boolean {
		return this.#waiting.length === 0
	}

	/** Number of events that wait or are in flight. */
	get size(): number {
		return this.#events
	}

	/** Tells whether an event fits. An empty outbox takes an event of any size and leaves the verdict to the server. */
	hasRoom({ bytes }: Item): boolean {
		return this.#events === 0 || (this.#events < MAX_BUFFERED_EVENTS && this.#bytes + bytes <= MAX_BUFFERED_BYTES)
	}

	add(item: Item): void {
		this.#waiting.push(item)
		this.#events += 1
		this.#bytes += item.bytes
	}

	/** Removes the next batch, which counts until it is settled. A batch holds each id once: the server refuses repeated ids. */
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

	/** Frees the room of a batch that is no longer in flight. */
	settle(batch: readonly Item[]): void {
		this.#events -= batch.length
		for (const { bytes } of batch) this.#bytes -= bytes
	}

	/** Removes all waiting events. */
	clear(): Item[] {
		const left = this.#waiting.splice(0)
		this.settle(left)
		return left
	}
}
