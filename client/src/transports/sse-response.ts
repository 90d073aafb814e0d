import { PlanstreamError } from '@planstream/shared'
import { createParser } from 'eventsource-parser'
import { fillRoute } from '../http.js'
import { errorOfResponse, lostOrError } from '../problem.js'
import { type Clock, unlessAborted } from '../timing.js'
import { authorization, noToken, type TokenSource } from '../token.js'
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
	/** Has the server end the response after so long; null: with the stream. */
	readonly closeAfterMs: number | null
}

const MEDIA_TYPE = 'text/event-stream'

/**
 * Opens one response of server-sent events, which `fetch` reads at the reader's pace, and settles when its first bytes have come.
 *
 * @returns `finished` when the server says that there is nothing more behind the position
 */
export async function openResponse(
	options: SseResponseOptions,
	request: StreamRequest,
	reading: SseReading,
): Promise<Stream | 'finished'> {
	const response = await answerTo(options, request, reading)
	if (response.status === 204) return 'finished'
	if (!response.ok) throw lostOrError(await errorOfResponse(response))
	const type = response.headers.get('content-type') ?? 'nothing'
	if (response.body && type.startsWith(MEDIA_TYPE)) {
		const body = new SseBody(response.body.getReader(), options, reading)
		await body.begin()
		return body.deliveries()
	}
	await response.body?.cancel()
	const sentence = `${response.url} answered with ${type} where ${MEDIA_TYPE} was expected. Is this the address of a Planstream server?`
	throw new PlanstreamError('not_found', sentence)
}

async function answerTo(
	{ url: base, token, fetch }: SseResponseOptions,
	{ route, input, lastCursor }: StreamRequest,
	{ signal, closeAfterMs }: SseReading,
): Promise<Response> {
	const asked = closeAfterMs === null ? input : { ...input, close_after_ms: closeAfterMs }
	const { url } = fillRoute(base, { method: 'GET', path: route.path }, asked)
	const credentials = await unlessAborted(authorization(token), signal).catch((thrown: unknown) => {
		throw noToken(thrown)
	})
	const headers = { accept: MEDIA_TYPE, ...credentials, ...(lastCursor === null ? {} : { 'last-event-id': lastCursor }) }
	return fetch(url, { headers, signal, cache: 'no-store' }).catch((cause: unknown) => {
		throw new ConnectionLost(`${url} could not be reached.`, { cause })
	})
}

/** What one response brings. */
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

	/** Resolves when the first bytes are there, which the server sends at once. */
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
					throw new ConnectionLost('The stream stopped without its end.')
				}
				parser.feed(decoder.decode(chunk, { stream: true }))
				ended ||= deliveries.some(({ item }) => isLast(item))
				yield* deliveries.splice(0)
			}
		} finally {
			await this.#reader.cancel().catch(() => {}) // it has failed already, and that was told
		}
	}

	/** The next bytes, comments included; null at the end. */
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
			if (silent) throw this.#silence(silence)
			this.#lastHeard = clock.now()
			return value ?? null
		} catch (cause) {
			if (this.#reading.signal.aborted) return null
			throw cause instanceof ConnectionLost ? cause : new ConnectionLost('The stream was cut off.', { cause })
		} finally {
			cancel()
		}
	}

	/** Where not even the first heartbeat came, it is held back; otherwise the network has gone. */
	#silence(silence: number): ConnectionLost {
		const sentence = `The server has said nothing for ${silence} ms.`
		return this.#lastHeard - this.#began < this.#options.heartbeatMs
			? new BufferedByProxy(sentence)
			: new ConnectionLost(sentence)
	}
}

/** Whether the server closes the stream after this item; without one a stream that stops was cut, whatever the network says of it. */
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
