import { openPolling } from './polling.js'
import type { SseResponseOptions } from './sse-response.js'
import type { Stream, StreamRequest, Transport } from './transport.js'

/** Streams over responses that end after a moment, about one a second. */
export class PollTransport implements Transport {
	readonly name = 'poll'
	readonly #options: SseResponseOptions

	constructor(options: SseResponseOptions) {
		this.#options = options
	}

	open(request: StreamRequest, signal: AbortSignal): Promise<Stream | 'finished'> {
		return openPolling({ ...this.#options, enough: () => Promise.resolve(false) }, request, signal)
	}
}
