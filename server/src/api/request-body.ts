import type { IncomingMessage, ServerResponse } from 'node:http'
import { PlanstreamError } from '@planstream/shared'
import type { HeldBytes } from '../connections/answer-budget.js'
import type { Schedule } from '../ops/clock.js'

/** Limit of a request's body; see PROTOCOL.md section 7. */
const MAX_BODY_BYTES = 1024 * 1024
/** Bytes a second that a body without a limit of its own must bring, in the long run. */
const MIN_BYTES_PER_S = 1024
/** Bytes read of a body that was refused, so that closing the connection does not destroy the answer on its way. */
const MAX_DISCARDED_BYTES = 1024 * 1024
/** Time for the rest of a refused body; then the connection is closed. */
const DISCARD_MS = 2000
/** The longest delay of a timer. */
const MAX_DELAY_MS = 2 ** 31 - 1

/** Limits of time for bodies. */
export interface BodyTiming {
	/** Milliseconds for a whole body, read anew for each. An archive may take longer at {@link MIN_BYTES_PER_S}. */
	readonly timeoutMs: () => number
	/** Monotonic milliseconds. */
	readonly clock: () => number
	readonly schedule: Schedule
}

/** Counts the bytes of bodies that have not arrived completely. */
export interface BodyBudget {
	hold(bytes: number): HeldBytes
	/** @throws PlanstreamError `overloaded` while too many bytes wait */
	assertRoom(): void
}

/** A request as Node and as Hono see it. */
export interface BodySource {
	readonly request: Request
	readonly incoming: IncomingMessage
	readonly outgoing: ServerResponse
	/** Whether a host application passed the request on; it may have read or replaced the body. */
	readonly isMounted: boolean
	readonly budget: BodyBudget
}

/** Requests whose clients wait for `100 Continue` before they send the body. */
const waitingForContinue = new WeakSet<IncomingMessage>()

/** Has the client wait with its body until somebody wants it, so that a refused body is never sent. */
export function holdContinue(incoming: IncomingMessage): void {
	waitingForContinue.add(incoming)
}

/**
 * The body of a request. Nothing is read before somebody asks for it, so a request that is refused for its key, scope, address or length
 * is answered at once.
 */
export class RequestBody {
	readonly #source: BodySource
	readonly #timing: BodyTiming
	#chunks: AsyncIterator<Uint8Array, unknown, undefined> | null = null

	constructor(source: BodySource, timing: BodyTiming) {
		this.#source = source
		this.#timing = timing
	}

	/** Tells whether there is a body that has not arrived completely. Its end may be in the packet that is being read. */
	async isUnderWay(): Promise<boolean> {
		const { incoming } = this.#source
		if (!incoming.complete) await new Promise((resolve) => setImmediate(resolve))
		return !incoming.complete
	}

	/** Whether something was read and something is left. */
	get isLeftOver(): boolean {
		return this.#chunks !== null && !this.#source.incoming.readableEnded
	}

	/**
	 * Reads the whole body as text. Bytes that are not UTF-8 are refused, because they would be stored as something else.
	 *
	 * @throws PlanstreamError `too_large`, `request_timeout`, `bad_request`, `overloaded`
	 */
	async readText(): Promise<string> {
		const { incoming, budget } = this.#source
		const { headers } = incoming
		assertPlain(headers['content-encoding'])
		if (headers['content-length'] === undefined && headers['transfer-encoding'] === undefined) return ''
		if (Number(headers['content-length']) > MAX_BODY_BYTES) throw tooLarge()
		const { timeoutMs, clock } = this.#timing
		const limitMs = timeoutMs()
		const start = clock()
		const chunks: Uint8Array[] = []
		let size = 0
		using held = budget.hold(0)
		for (;;) {
			const chunk = await this.#readWithin(limitMs - (clock() - start), limitMs)
			if (chunk === null) return decodeUtf8(chunks)
			size += chunk.length
			if (size > MAX_BODY_BYTES) throw tooLarge()
			chunks.push(chunk)
			held.resize(size)
			if (!incoming.complete) budget.assertRoom()
		}
	}

	/**
	 * Reads a body of any length, piece by piece. Only time spent waiting for the client counts, and each KiB makes up for a second of it.
	 *
	 * @throws PlanstreamError `request_timeout`, `bad_request`
	 */
	async *readChunks(): AsyncGenerator<Uint8Array, void, void> {
		const { timeoutMs, clock } = this.#timing
		let waitedMs = 0
		for (;;) {
			const limitMs = timeoutMs()
			const start = clock()
			const chunk = await this.#readWithin(limitMs - waitedMs, limitMs)
			if (chunk === null) return
			waitedMs = Math.max(0, waitedMs + clock() - start - (chunk.length * 1000) / MIN_BYTES_PER_S)
			yield chunk
		}
	}

	/** Reads on after a refusal, within limits, and drops what comes. Resolves when the connection may be closed. */
	async discard(): Promise<void> {
		let size = 0
		let stop = (): void => undefined
		const over = new Promise<null>((resolve) => {
			stop = () => resolve(null)
		})
		using _timer = this.#timing.schedule(stop, DISCARD_MS)
		this.#source.outgoing.once('close', stop)
		try {
			while (size <= MAX_DISCARDED_BYTES) {
				const chunk = await Promise.race([this.#read(), over])
				if (chunk === null) return
				size += chunk.length
			}
			await over
		} catch {
			// The client has left, so nothing more comes.
		} finally {
			this.#source.outgoing.off('close', stop)
		}
	}

	#readWithin(delayMs: number, limitMs: number): Promise<Uint8Array | null> {
		const chunk = this.#read().catch(refuseBrokenBody)
		if (delayMs === Number.POSITIVE_INFINITY || this.#source.incoming.complete) return chunk
		return new Promise((resolve, reject) => {
			const timer = this.#timing.schedule(() => reject(tooSlow(limitMs)), Math.min(Math.max(delayMs, 0), MAX_DELAY_MS))
			const stop = (): void => timer[Symbol.dispose]()
			chunk.finally(stop).then(resolve, reject)
		})
	}

	async #read(): Promise<Uint8Array | null> {
		this.#chunks ??= this.#open()
		const next = await this.#chunks.next()
		return next.done === true ? null : next.value
	}

	/** Opens the body such that giving up on it leaves the connection intact, because the answer still has to pass. */
	#open(): AsyncIterator<Uint8Array, unknown, undefined> {
		const { request, incoming, outgoing, isMounted } = this.#source
		if (waitingForContinue.delete(incoming)) outgoing.writeContinue()
		// A host application, or a parser of its framework, may have read the body already.
		const isOurs = !isMounted && !incoming.readableDidRead
		if (isOurs) return incoming.iterator({ destroyOnReturn: false })
		return (request.body ?? new ReadableStream<Uint8Array<ArrayBuffer>>()).values({ preventCancel: true })
	}
}

/** Refuses a compressed body. Without this the error would be "not UTF-8", which does not help its sender. */
function assertPlain(encoding: string | undefined): void {
	if (encoding === undefined || encoding.toLowerCase() === 'identity') return
	const message = `Unsupported Content-Encoding ${encoding.slice(0, 80)}. Send the body without Content-Encoding.`
	throw new PlanstreamError('bad_request', message, { path: 'content-encoding' })
}

/** Reports a connection that closed during the body as `bad_request`: it is not a failure of this server. */
function refuseBrokenBody(cause: unknown): never {
	const message = 'The connection was closed before the whole body arrived. Send the request again.'
	throw new PlanstreamError('bad_request', message, {}, { cause })
}

function tooLarge(): PlanstreamError {
	const message = `The body has more than ${MAX_BODY_BYTES} bytes. Send less in one request.`
	return new PlanstreamError('too_large', message, { limit: MAX_BODY_BYTES })
}

function tooSlow(limitMs: number): PlanstreamError {
	const message = `The body did not arrive within ${limitMs} ms. Send it without pauses, or less in one request.`
	return new PlanstreamError('request_timeout', message, { limit: limitMs })
}

function decodeUtf8(chunks: readonly Uint8Array[]): string {
	const [only = EMPTY] = chunks
	try {
		return new TextDecoder('utf-8', { fatal: true }).decode(chunks.length <= 1 ? only : Buffer.concat(chunks))
	} catch (cause) {
		throw new PlanstreamError('bad_request', 'The body is not UTF-8. Encode the JSON as UTF-8.', {}, { cause })
	}
}

const EMPTY = new Uint8Array()

/**
 * Answers a request whose body has not arrived completely: the answer goes out at once, and its end waits until the rest was read or is
 * given up. A connection that is closed with unread bytes is reset, which can destroy an answer that the client has not read yet.
 */
export async function answerBeforeBody(response: Response, body: RequestBody): Promise<Response> {
	const bytes = new Uint8Array(await response.arrayBuffer())
	const headers = new Headers(response.headers)
	headers.set('content-length', String(bytes.length))
	headers.set('connection', 'close')
	const stream = new ReadableStream<Uint8Array<ArrayBuffer>>({
		start: (controller) => controller.enqueue(bytes),
		pull: async (controller) => {
			await body.discard()
			controller.close()
		},
	})
	return new Response(stream, { status: response.status, headers })
}
