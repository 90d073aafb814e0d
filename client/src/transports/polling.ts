import { pause } from '../timing.js'
import { isLast, openResponse, type SseResponseOptions } from './sse-response.js'
import type { Delivery, Stream, StreamRequest, Transport } from './transport.js'

/** Lifetime of a poll's response in milliseconds: enough to deliver what is stored. */
const OPEN_MS = 200
/** Delay before the next poll, once the reader has caught up. */
const POLL_MS = 800

export interface PollingOptions extends SseResponseOptions {
	/** Called before each delay; true ends polling, and the caller continues with another transport. */
	readonly shouldStop: () => Promise<boolean>
}

/** A stream over short responses. Returns the request to continue with another transport, or null at the end. */
export type Polled = AsyncGenerator<Delivery, StreamRequest | null, undefined>

/**
 * Opens a stream over a series of short SSE responses, for networks whose proxies forward a response only when it has ended, and where
 * no connection can be kept open.
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
		if (await options.shouldStop()) return { ...request, lastCursor }
		await pause(options.clock, POLL_MS, signal)
		if (signal.aborted) return null
	}
}

function isEvent(item: unknown): boolean {
	return typeof item === 'object' && item !== null && 'event_type' in item
}

/** Streams over short responses, about one a second. */
export class PollTransport implements Transport {
	readonly name = 'poll'
	readonly #options: SseResponseOptions

	constructor(options: SseResponseOptions) {
		this.#options = options
	}

	open(request: StreamRequest, signal: AbortSignal): Promise<Stream | 'finished'> {
		return openPolling({ ...this.#options, shouldStop: () => Promise.resolve(false) }, request, signal)
	}
}
