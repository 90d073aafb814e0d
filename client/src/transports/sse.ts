import { openPolling, type Polled } from './polling.js'
import { openResponse, type SseResponseOptions } from './sse-response.js'
import type { StreamSlots } from './stream-slots.js'
import type { Delivery, Stream, StreamRequest, Transport } from './transport.js'

export interface SseOptions extends SseResponseOptions {
	readonly slots: StreamSlots
}

type Release = () => void

/** Streams over server-sent events, one HTTP response each. A stream without a free slot polls until it gets one. */
export class SseTransport implements Transport {
	readonly name = 'sse'
	readonly #options: SseOptions

	constructor(options: SseOptions) {
		this.#options = options
	}

	async open(request: StreamRequest, signal: AbortSignal): Promise<Stream | 'finished'> {
		const slot = await this.#options.slots.take()
		if (slot !== null) return this.#openLive(request, signal, slot)
		let later: Release | null = null
		const shouldStop = async (): Promise<boolean> => {
			later = await this.#options.slots.take()
			return later !== null
		}
		const polled = await openPolling({ ...this.#options, shouldStop }, request, signal)
		return polled === 'finished' ? polled : this.#pollUntil(polled, signal, () => later)
	}

	async *#pollUntil(
		polled: Polled,
		signal: AbortSignal,
		getSlot: () => Release | null,
	): AsyncGenerator<Delivery, void, undefined> {
		const rest = yield* polled
		const release = getSlot()
		if (rest === null || release === null) return
		const live = await this.#openLive(rest, signal, release)
		if (live === 'finished') yield { cursor: rest.lastCursor, item: { frame: 'end', cursor: rest.lastCursor, resume: false } }
		else yield* live
	}

	/** Opens a stream that keeps its slot until the signal aborts, which happens at the end of every stream. */
	#openLive(request: StreamRequest, signal: AbortSignal, release: Release): Promise<Stream | 'finished'> {
		if (signal.aborted) release()
		else signal.addEventListener('abort', release, { once: true })
		return openResponse(this.#options, request, { signal, closeAfterMs: null })
	}
}
