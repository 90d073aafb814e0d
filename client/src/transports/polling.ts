import { pause } from '../timing.js'
import { isLast, openResponse, type SseResponseOptions } from './sse-response.js'
import type { Delivery, Stream, StreamRequest, Transport } from './transport.js'

/** How long a response of a poll lives: enough to bring what there is. */
const OPEN_MS = 200
/** How long a reader that has everything waits for its next poll. */
const POLL_MS = 800

export interface PollingOptions extends SseResponseOptions {
	/** Asked before each wait; true ends the stream, whose reader goes on by other means. */
	readonly enough: () => Promise<boolean>
}

/** A stream as a row of short responses; returns how to go on by other means, or null at the end. */
export type Polled = AsyncGenerator<Delivery, StreamRequest | null, undefined>

/**
 * Opens a stream of server-sent events as a row of responses, each of which the server ends after a moment: for networks that pass a
 * response on only when it has ended, and where no connection can be kept.
 */
export async function openPolling(
	options: PollingOptions,
	request: StreamRequest,
	signal: AbortSignal,
): Promise<Polled | 'finished'> {
	const first = await poll(options, request, signal)
	return first === 'finished' ? first : readOn(options, request, { first, signal })
}

function poll(options: PollingOptions, request: StreamRequest, signal: AbortSignal): Promise<Stream | 'finished'> {
	return openResponse(options, request, { signal, closeAfterMs: OPEN_MS })
}

async function* readOn(
	options: PollingOptions,
	request: StreamRequest,
	{ first, signal }: { readonly first: Stream; readonly signal: AbortSignal },
): Polled {
	let { lastCursor } = request
	for (let page: Stream | 'finished' = first; ; page = await poll(options, { ...request, lastCursor }, signal)) {
		if (page === 'finished') {
			yield { cursor: lastCursor, item: { frame: 'end', cursor: lastCursor, resume: false } }
			return null
		}
		let isBehind = false
		for await (const { cursor, item } of page) {
			lastCursor = cursor ?? lastCursor
			isBehind ||= cursor !== null && isEvent(item)
			yield { cursor, item }
			if (isLast(item)) return null
		}
		if (signal.aborted) return null
		if (isBehind) continue
		if (await options.enough()) return { ...request, lastCursor }
		await pause(options.clock, POLL_MS, signal)
		if (signal.aborted) return null
	}
}

function isEvent(item: unknown): boolean {
	return typeof item === 'object' && item !== null && 'event_type' in item
}

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
