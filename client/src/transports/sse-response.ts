import { createParser } from 'eventsource-parser'
import { createWrongTypeError, fillRoute } from '../http.js'
import { readResponseError, toStreamError } from '../problem.js'
import { awaitUnlessAborted, type Clock } from '../timing.js'
import { authorize, createTokenError, type TokenSource } from '../token.js'
import { BufferedByProxy, ConnectionLost, type Delivery, type Stream, type StreamRequest } from './transport.js'
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
	const response = await requestStream(options, request, reading)
	if (response.status === 204) return 'finished'
	if (!response.ok) throw toStreamError(await readResponseError(response))
	const type = response.headers.get('content-type') ?? 'nothing'
	if (response.body && type.startsWith(MEDIA_TYPE)) {
		const body = new SseBody(response.body.getReader(), options, reading)
		await body.begin()
		return body.deliveries()
	}
	await response.body?.cancel()
	throw createWrongTypeError(response.url, type, MEDIA_TYPE)
}

async function requestStream(
	{ url: base, token, fetch }: SseResponseOptions,
	{ route, input, lastCursor }: StreamRequest,
	{ signal, closeAfterMs }: SseReading,
): Promise<Response> {
	const query = closeAfterMs === null ? input : { ...input, close_after_ms: closeAfterMs }
	const { url } = fillRoute(base, { method: 'GET', path: route.path }, query)
	const credentials = await awaitUnlessAborted(authorize(token), signal).catch((thrown: unknown) => {
		throw createTokenError(thrown)
	})
	const headers = { accept: MEDIA_TYPE, ...credentials, ...(lastCursor === null ? {} : { 'last-event-id': lastCursor }) }
	return fetch(url, { headers, signal, cache: 'no-store' }).catch((cause: unknown) => {
		throw new ConnectionLost(`Cannot reach ${url}.`, { cause })
	})
}

/** The body of one response. */
class SseBody {
	readonly #reader: ReadableStreamDefaultReader<Uint8Array>
	readonly #options: SseResponseOptions
	readonly #reading: SseReading
	readonly #began: number
	#lastHeard: number
	#first: Uint8Array | null = null

	constructor(reader: ReadableStreamDefaultReader<Uint8Array>, options: SseResponseOptions, reading: SseReading) {
		this.#reader = reader
		this.#options = options
		this.#reading = reading
		this.#began = options.clock.now()
		this.#lastHeard = this.#began
	}

	/** Resolves when the first bytes arrive, which the server sends at once. */
	async begin(): Promise<void> {
		this.#first = await this.#next()
	}

	async *deliveries(): AsyncGenerator<Delivery, void, undefined> {
		const { signal, closeAfterMs } = this.#reading
		const deliveries: Delivery[] = []
		const parser = createParser({ onEvent: ({ id, data }) => void deliveries.push({ cursor: id ?? null, item: parse(data) }) })
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
			if (this.#reading.signal.aborted) return null
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

function parse(data: string): unknown {
	try {
		return JSON.parse(data)
	} catch (cause) {
		throw new ConnectionLost('The server sent an event that is not JSON.', { cause })
	}
}
