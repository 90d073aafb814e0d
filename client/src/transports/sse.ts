import { PlanstreamError } from '@planstream/shared'
import { createParser } from 'eventsource-parser'
import type { Clock } from '../clock.js'
import { cutOrError, errorOfResponse } from '../problem.js'
import { fillRoute } from '../requests.js'
import { unlessAborted } from '../signals.js'
import { authorization, noToken, type TokenSource } from '../token.js'
import { Cut, type Delivery, type Stream, type StreamRequest, type Transport } from './transport.js'
import { SILENT_HEARTBEATS } from './trpc-socket.js'

export interface SseOptions {
	readonly url: URL
	readonly token: TokenSource | null
	readonly fetch: typeof fetch
	readonly clock: Clock
	readonly heartbeatMs: number
}

const MEDIA_TYPE = 'text/event-stream'

/** Streams over server-sent events, one HTTP response each, read by `fetch` at the reader's pace. */
export class SseTransport implements Transport {
	readonly name = 'sse'
	readonly #options: SseOptions

	constructor(options: SseOptions) {
		this.#options = options
	}

	async open({ route, input, lastCursor }: StreamRequest, signal: AbortSignal): Promise<Stream | 'finished'> {
		const { url } = fillRoute(this.#options.url, { method: 'GET', path: route.path }, input)
		const { fetch, token } = this.#options
		const credentials = await unlessAborted(authorization(token), signal).catch((thrown: unknown) => {
			throw noToken(thrown)
		})
		const headers = { accept: MEDIA_TYPE, ...credentials, ...(lastCursor === null ? {} : { 'last-event-id': lastCursor }) }
		const response = await fetch(url, { headers, signal, cache: 'no-store' }).catch((cause: unknown) => {
			throw new Cut(`${url} could not be reached.`, { cause })
		})
		if (response.status === 204) return 'finished'
		if (!response.ok) throw cutOrError(await errorOfResponse(response))
		const type = response.headers.get('content-type') ?? 'nothing'
		if (response.body && type.startsWith(MEDIA_TYPE)) return this.#read(response.body, signal)
		await response.body?.cancel()
		const sentence = `${url} answered with ${type} where ${MEDIA_TYPE} was expected. Is this the address of a Planstream server?`
		throw new PlanstreamError('not_found', sentence)
	}

	async *#read(body: ReadableStream<Uint8Array>, signal: AbortSignal): AsyncGenerator<Delivery, void, undefined> {
		const deliveries: Delivery[] = []
		const parser = createParser({ onEvent: ({ id, data }) => void deliveries.push({ cursor: id ?? null, item: parse(data) }) })
		const decoder = new TextDecoder()
		const reader = body.getReader()
		let ended = false
		try {
			for (;;) {
				const chunk = await this.#next(reader, signal)
				if (chunk === null) {
					if (ended || signal.aborted) return
					throw new Cut('The stream stopped without its end.')
				}
				parser.feed(decoder.decode(chunk, { stream: true }))
				ended ||= deliveries.some(({ item }) => isLast(item))
				yield* deliveries.splice(0)
			}
		} finally {
			await reader.cancel().catch(() => {}) // it has failed already, and that was told
		}
	}

	/** The next bytes, comments included; null at the end. */
	async #next(reader: ReadableStreamDefaultReader<Uint8Array>, signal: AbortSignal): Promise<Uint8Array | null> {
		const silence = this.#options.heartbeatMs * SILENT_HEARTBEATS
		let silent = false
		const cancel = this.#options.clock.after(silence, () => {
			silent = true
			void reader.cancel()
		})
		try {
			const { value } = await reader.read()
			if (silent) throw new Cut(`The server has said nothing for ${silence} ms.`)
			return value ?? null
		} catch (cause) {
			if (signal.aborted) return null
			throw cause instanceof Cut ? cause : new Cut('The stream was cut off.', { cause })
		} finally {
			cancel()
		}
	}
}

/** Whether the server closes the stream after this item; without one a stream that stops was cut, whatever the network says of it. */
function isLast(item: unknown): boolean {
	const frame = typeof item === 'object' && item !== null && 'frame' in item ? item.frame : null
	return frame === 'end' || frame === 'problem'
}

function parse(data: string): unknown {
	try {
		return JSON.parse(data)
	} catch (cause) {
		throw new Cut('The server sent an event that is not JSON.', { cause })
	}
}
