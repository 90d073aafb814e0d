import { isFullCursor, PlanstreamError, parsePosition } from '@planstream/shared'
import { createParser } from 'eventsource-parser'
import { type ByteReader, createTooLargeError, discardBody, MAX_ANSWER_BYTES, openBody, openWholeBody } from '../body.js'
import { dropQuery, fillRoute } from '../http.js'
import { ForeignAnswer, readResponseError, toStreamError } from '../problem.js'
import { awaitUnlessAborted, type Clock } from '../timing.js'
import { authorize, createTokenError, type TokenSource } from '../token.js'
import {
	BufferedByProxy,
	ConnectionLost,
	type Delivery,
	type Stream,
	type StreamRequest,
	TransportUnusable,
} from './transport.js'
import { SILENT_HEARTBEATS } from './trpc-socket.js'

export interface SseResponseOptions {
	readonly url: URL
	readonly token: TokenSource | null
	readonly fetch: typeof fetch
	readonly clock: Clock
	readonly heartbeatMs: number
}

export interface SseReading {
	/** Ends the attempt or the stream. */
	readonly signal: AbortSignal
	/** Milliseconds after which the server ends the response; null: with the stream. */
	readonly closeAfterMs: number | null
}

const MEDIA_TYPE = 'text/event-stream'

/**
 * Opens one SSE response and settles when its first bytes arrive. `fetch` applies the reader's backpressure.
 *
 * @returns `finished` when nothing follows the position
 */
export async function openResponse(
	options: SseResponseOptions,
	request: StreamRequest,
	reading: SseReading,
): Promise<Stream | 'finished'> {
	const { url, response } = await requestStream(options, request, reading)
	const address = dropQuery(url)
	if (response.status === 204 && hasCursor(request)) return 'finished'
	if (!response.ok) throw toStreamError(await readResponseError(response))
	const type = response.headers.get('content-type') ?? 'nothing'
	if (!type.startsWith(MEDIA_TYPE)) {
		await discardBody(response)
		throw new ForeignAnswer(address, type, MEDIA_TYPE)
	}
	const reader = openBody(response) ?? (reading.closeAfterMs === null ? null : openWholeBody(response))
	if (reader === null) throw createNoStreamError()
	const body = new SseBody(reader, { ...options, ...reading, address })
	await body.begin()
	return body.deliveries()
}

/** Tells whether a server may answer that nothing follows: only to a reader that has seen an event. */
function hasCursor({ input, lastCursor }: StreamRequest): boolean {
	if (lastCursor !== null) return true
	const position = 'after' in input ? parsePosition(String(input.after)) : null
	return position !== null && isFullCursor(position)
}

function createNoStreamError(): TransportUnusable {
	const message =
		'This fetch gives no streaming body, which server-sent events need. Leave out `transport`, or set it to "poll" or "websocket".'
	return new TransportUnusable(new PlanstreamError('bad_request', message, { path: 'fetch' }), { heldBack: true })
}

async function requestStream(
	{ url: base, token, fetch }: SseResponseOptions,
	{ route, input, lastCursor }: StreamRequest,
	{ signal, closeAfterMs }: SseReading,
): Promise<{ readonly url: string; readonly response: Response }> {
	const query = closeAfterMs === null ? input : { ...input, close_after_ms: closeAfterMs }
	const { url } = fillRoute(base, { method: 'GET', path: route.path }, query)
	const credentials = await awaitUnlessAborted(authorize(token), signal).catch((thrown: unknown) => {
		throw createTokenError(thrown)
	})
	const headers = { accept: MEDIA_TYPE, ...credentials, ...(lastCursor === null ? {} : { 'last-event-id': lastCursor }) }
	const response = await fetch(url, { headers, signal, cache: 'no-store' }).catch((cause: unknown) => {
		throw new ConnectionLost(`Cannot reach ${url}.`, { cause })
	})
	return { url, response }
}

interface SseBodyOptions extends SseReading, Pick<SseResponseOptions, 'clock' | 'heartbeatMs'> {
	/** Address of the response, for messages. */
	readonly address: string
}

/** The body of one response. */
class SseBody {
	readonly #reader: ByteReader
	readonly #options: SseBodyOptions
	readonly #began: number
	#lastHeard: number
	#first: Uint8Array | null = null

	constructor(reader: ByteReader, options: SseBodyOptions) {
		this.#reader = reader
		this.#options = options
		this.#began = options.clock.now()
		this.#lastHeard = this.#began
	}

	/** Resolves when the first bytes arrive, which the server sends at once. */
	async begin(): Promise<void> {
		this.#first = await this.#next()
	}

	async *deliveries(): AsyncGenerator<Delivery, void, undefined> {
		const { signal, closeAfterMs, address } = this.#options
		const deliveries: Delivery[] = []
		const parser = createParser({
			maxBufferSize: MAX_ANSWER_BYTES,
			onEvent: ({ id, data }) => void deliveries.push({ cursor: id ?? null, item: parse(data, address) }),
			onError: ({ type }) => {
				if (type === 'max-buffer-size-exceeded') throw createTooLargeError(address, MAX_ANSWER_BYTES)
			},
		})
		const decoder = new TextDecoder()
		let ended = false
		try {
			for (let chunk = this.#first; ; chunk = await this.#next()) {
				if (chunk === null) {
					if (ended || signal.aborted || closeAfterMs !== null) return
					throw new ConnectionLost('The stream stopped before its end.')
				}
				parser.feed(decoder.decode(chunk, { stream: true }))
				ended ||= deliveries.some(({ item }) => isLast(item))
				yield* deliveries.splice(0)
			}
		} finally {
			await this.#reader.cancel().catch(() => {}) // it has failed, and `#next` has thrown the error
		}
	}

	/** Reads the next bytes, comments included; null at the end. */
	async #next(): Promise<Uint8Array | null> {
		const { clock, heartbeatMs } = this.#options
		const silence = heartbeatMs * SILENT_HEARTBEATS
		let silent = false
		const cancel = clock.after(silence, () => {
			silent = true
			void this.#reader.cancel()
		})
		try {
			const { value } = await this.#reader.read()
			if (silent) throw this.#createSilenceError(silence)
			this.#lastHeard = clock.now()
			return value ?? null
		} catch (cause) {
			if (this.#options.signal.aborted) return null
			throw cause instanceof ConnectionLost ? cause : new ConnectionLost('The connection was lost during the stream.', { cause })
		} finally {
			cancel()
		}
	}

	/** Makes the error for a silent server. If not even the first heartbeat arrived, a proxy buffers the response. */
	#createSilenceError(silence: number): ConnectionLost {
		const message = `The server sent nothing for ${silence} ms.`
		return this.#lastHeard - this.#began < this.#options.heartbeatMs ? new BufferedByProxy(message) : new ConnectionLost(message)
	}
}

/** Tells whether the server closes the stream after this item. A stream that stops without one has lost its connection. */
export function isLast(item: unknown): boolean {
	const frame = typeof item === 'object' && item !== null && 'frame' in item ? item.frame : null
	return frame === 'end' || frame === 'problem'
}

function parse(data: string, address: string): unknown {
	try {
		return JSON.parse(data)
	} catch (cause) {
		throw new ForeignAnswer(address, 'an event that is not JSON', 'JSON', { cause })
	}
}
