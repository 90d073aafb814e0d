import { type OutputChannel, type ParsedEvent, PlanstreamError } from '@planstream/shared'
import type { Schedule } from '../ops/clock.js'

/** Most events an attempt may have waiting; above this, a newer progress replaces an older one. */
const PROGRESS_LIMIT = 256
/** Most output an attempt may have waiting, in characters; above this it fails. */
const OUTPUT_LIMIT = 8 * 1024 * 1024
/** Fixed cost of an output event besides its text, so that many small ones are not free. */
const EVENT_COST = 256
/** Events in one append. */
const BATCH = 64

/**
 * Forwards an attempt's reports to the log: in order and one append at a time. Reports that arrive meanwhile share
 * the next append.
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
	 * @param onFailure - called once, with the reason why the attempt can report no more
	 */
	constructor(append: (events: readonly ParsedEvent[]) => Promise<void>, onFailure: (error: unknown) => void) {
		this.#append = append
		this.#onFailure = onFailure
	}

	push(event: ParsedEvent): void {
		if (this.#closed) return
		this.#characters += estimateCost(event)
		if (this.#characters > OUTPUT_LIMIT) {
			const message = `The attempt has more than ${OUTPUT_LIMIT} characters of output waiting. Write less, or store large content as an artifact.`
			this.#fail(new PlanstreamError('too_large', message, { limit: OUTPUT_LIMIT }))
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
	async drain(): Promise<void> {
		while (this.#sending !== null) await this.#sending
	}

	/** Drops waiting events and accepts no more. */
	close(): void {
		this.#closed = true
		this.#waiting = []
	}

	async #send(): Promise<void> {
		try {
			while (this.#waiting.length > 0) {
				const batch = this.#waiting.splice(0, BATCH)
				await this.#append(batch)
				for (const event of batch) this.#characters -= estimateCost(event)
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

function estimateCost(event: ParsedEvent): number {
	return event.event_type === 'step_output' ? (event.data.delta?.length ?? 0) + EVENT_COST : 0
}

/** Text of one channel is joined for this long, or up to this length, before it becomes an event. */
const OUTPUT_WINDOW_MS = 50
export const OUTPUT_CHARACTERS = 8 * 1024

interface Channel {
	text: string
	level: string | undefined
	index: number
}

/** Joins an attempt's output into few events, in the order of each channel; no character is lost or moved. */
export class Output {
	readonly #channels = new Map<OutputChannel, Channel>()
	readonly #emit: (event: ParsedEvent) => void
	readonly #schedule: Schedule
	readonly #step_id: string
	readonly #attempt: number
	#pending: Disposable | null = null

	constructor(step_id: string, attempt: number, emit: (event: ParsedEvent) => void, schedule: Schedule) {
		this.#step_id = step_id
		this.#attempt = attempt
		this.#emit = emit
		this.#schedule = schedule
	}

	push(delta: string, channelName: OutputChannel, level: string | undefined): void {
		const channel = this.#channels.get(channelName) ?? { text: '', level, index: 0 }
		this.#channels.set(channelName, channel)
		if (channel.level !== level) this.#flush(channelName, channel, 0)
		channel.level = level
		channel.text += delta
		if (channel.text.length >= OUTPUT_CHARACTERS) this.#flush(channelName, channel, OUTPUT_CHARACTERS)
		if (channel.text !== '' && this.#pending === null) {
			this.#pending = this.#schedule(() => this.flush(), OUTPUT_WINDOW_MS)
		}
	}

	/** Emits all waiting text. */
	flush(): void {
		this.#pending?.[Symbol.dispose]()
		this.#pending = null
		for (const [name, channel] of this.#channels) this.#flush(name, channel, 0)
	}

	/** Emits whole pieces until fewer than `keep` characters wait; with 0, everything. */
	#flush(name: OutputChannel, channel: Channel, keep: number): void {
		let start = 0
		while (channel.text.length - start >= Math.max(keep, 1)) {
			const end = findPieceEnd(channel.text, start)
			const { level } = channel
			const piece = { channel: name, delta: channel.text.slice(start, end), index: channel.index++ }
			const data = level === undefined ? piece : { ...piece, level }
			this.#emit({ event_type: 'step_output', step_id: this.#step_id, attempt: this.#attempt, data })
			start = end
		}
		channel.text = channel.text.slice(start)
	}
}

/** Finds the end of the piece from `start`: never between the two halves of a surrogate pair. */
function findPieceEnd(text: string, start: number): number {
	const end = Math.min(start + OUTPUT_CHARACTERS, text.length)
	const splits = end < text.length && isHighSurrogate(text.charCodeAt(end - 1))
	return splits ? end - 1 : end
}

function isHighSurrogate(unit: number): boolean {
	return unit >= 0xd800 && unit <= 0xdbff
}
