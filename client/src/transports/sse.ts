import { openPolling, type Polled } from './polling.js'
import { openResponse, type SseResponseOptions } from './sse-response.js'
import type { StreamSlots } from './stream-slots.js'
import type { Delivery, Stream, StreamRequest, Transport } from './transport.js'

export interface SseOptions extends SseResponseOptions {
	readonly slots: StreamSlots
}

type Release = () => void

/** Streams over server-sent events, one HTTP response each; one for which there is no place polls until there is. */
export class SseTransport implements Transport {
	readonly name = 'sse'
	readonly #options: SseOptions

	constructor(options: SseOptions) {
		this.#options = options
	}

	async open(request: StreamRequest, signal: AbortSignal): Promise<Stream | 'finished'> {
		const place = await this.#options.slots.take()
		if (place !== null) return this.#live(request, signal, place)
		let later: Release | null = null
		const enough = async (): Promise<boolean> => {
			later = await this.#options.slots.take()
			return later !== null
		}
		const polled = await openPolling({ ...this.#options, enough }, request, signal)
		return polled === 'finished' ? polled : this.#pollUntil(polled, signal, () => later)
	}

	async *#pollUntil(polled: Polled, signal: AbortSignal, place: () => Release | null): AsyncGenerator<Delivery, void, undefined> {
		const rest = yield* polled
		const release = place()
		if (rest === null || release === null) return
		const live = await this.#live(rest, signal, release)
		if (live === 'finished') yield { cursor: rest.lastCursor, item: { frame: 'end', cursor: rest.lastCursor, resume: false } }
		else yield* live
	}

	/** A stream that keeps its place until the signal aborts, as it does at the end of each. */
	#live(request: StreamRequest, signal: AbortSignal, release: Release): Promise<Stream | 'finished'> {
		if (signal.aborted) release()
		else signal.addEventListener('abort', release, { once: true })
		return openResponse(this.#options, request, { signal, closeAfterMs: null })
	}
}
