import { type ParsedEvent, PlanstreamError } from '@planstream/shared'

/** Events an attempt may have waiting; beyond this a newer progress takes the place of an older one. */
const PROGRESS_LIMIT = 256
/** Output an attempt may have waiting, in characters; beyond this it fails. */
const OUTPUT_LIMIT = 8 * 1024 * 1024
/** What an event of output costs beside its text, so that no number of small ones is free. */
const EVENT_COST = 256
/** Events in one append. */
const BATCH = 64

/**
 * An attempt's reports on their way into the log: in order, one append under way at a time, what comes
 * meanwhile goes together into the next one.
 */
export class Outbox {
	readonly #append: (events: readonly ParsedEvent[]) => Promise<void>
	readonly #onFailure: (error: unknown) => void
	#waiting: ParsedEvent[] = []
	#characters = 0
	#sending: Promise<void> | null = null
	#closed = false

	/**
	 * @param append - makes the events durable, all or nothing
	 * @param onFailure - told once why the attempt can report no more
	 */
	constructor(append: (events: readonly ParsedEvent[]) => Promise<void>, onFailure: (error: unknown) => void) {
		this.#append = append
		this.#onFailure = onFailure
	}

	push(event: ParsedEvent): void {
		if (this.#closed) return
		this.#characters += costOf(event)
		if (this.#characters > OUTPUT_LIMIT) {
			this.#fail(overflow())
			return
		}
		const last = this.#waiting.at(-1)
		const replaces =
			this.#waiting.length >= PROGRESS_LIMIT && event.event_type === 'step_progress' && last?.event_type === 'step_progress'
		if (replaces) this.#waiting.pop()
		this.#waiting.push(event)
		this.#sending ??= this.#send()
	}

	/** Resolves when everything pushed so far is in the log, or can no longer get there. */
	async flushed(): Promise<void> {
		while (this.#sending !== null) await this.#sending
	}

	/** Drops what waits and takes no more. */
	close(): void {
		this.#closed = true
		this.#waiting = []
	}

	async #send(): Promise<void> {
		try {
			while (this.#waiting.length > 0) {
				const batch = this.#waiting.splice(0, BATCH)
				await this.#append(batch)
				for (const event of batch) this.#characters -= costOf(event)
			}
		} catch (error) {
			this.#fail(error)
		} finally {
			this.#sending = null
		}
	}

	#fail(error: unknown): void {
		if (this.#closed) return
		this.close()
		this.#onFailure(error)
	}
}

function costOf(event: ParsedEvent): number {
	return event.event_type === 'step_output' ? (event.data.delta?.length ?? 0) + EVENT_COST : 0
}

function overflow(): PlanstreamError {
	const sentence = `The attempt has more than ${OUTPUT_LIMIT} characters of output waiting. Write less, or store large content as an artifact.`
	return new PlanstreamError('too_large', sentence, { limit: OUTPUT_LIMIT })
}
