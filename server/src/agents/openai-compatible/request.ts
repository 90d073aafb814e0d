import { createParser, type EventSourceMessage } from 'eventsource-parser'
import * as z from 'zod'
import { agentError } from '../define-agent.js'
import type { Sleep } from '../scripted.js'

/** Maximum number of requests in one attempt. */
const MAX_TRIES = 4
const BACKOFF_MS = 1000
/** If the server requests a longer wait, the step's own retries take over. */
const MAX_WAIT_MS = 60_000
/** Maximum number of bytes read from the body of an error response. */
const MAX_REFUSAL_BYTES = 16_384

export interface ChatRequest {
	readonly url: string
	readonly key: string | null
	readonly body: Readonly<Record<string, unknown>>
	readonly signal: AbortSignal
	readonly sleep: Sleep
}

/**
 * Sends a request to a model server and resolves when the response begins. Retries if the server is busy (429) or failing (5xx),
 * after the delay it requests or with growing pauses.
 *
 * @throws AgentError `upstream_refused`, `upstream_failed` or `upstream_unavailable`; the signal's reason
 */
export async function requestChat(request: ChatRequest): Promise<Response> {
	for (let tries = 1; ; tries++) {
		const response = await send(request)
		if (response.ok) return response
		const failed = response.status === 429 || response.status >= 500
		const wait = parseRetryAfter(response) ?? BACKOFF_MS * 2 ** (tries - 1)
		if (!failed || tries === MAX_TRIES || wait > MAX_WAIT_MS) throw await createRefusal(response, failed)
		await response.body?.cancel()
		await request.sleep(wait, request.signal)
	}
}

async function send({ url, key, body, signal }: ChatRequest): Promise<Response> {
	const headers = { 'content-type': 'application/json', accept: 'text/event-stream' }
	const authorised = key === null ? headers : { ...headers, authorization: `Bearer ${key}` }
	try {
		// A redirect could lead the key anywhere.
		return await fetch(url, { method: 'POST', headers: authorised, body: JSON.stringify(body), signal, redirect: 'error' })
	} catch (cause) {
		signal.throwIfAborted()
		// Every reader of the plan sees this error, so it names neither the address nor the cause, which has the address too.
		const message = `The model server could not be reached (${readErrorCode(cause)}). Check that it is running, and its address in the settings.`
		throw agentError('upstream_unavailable', message, { retryable: true })
	}
}

function readErrorCode(thrown: unknown): string {
	const { cause } = thrown instanceof Error ? thrown : {}
	return cause instanceof Error && 'code' in cause ? String(cause.code) : 'fetch failed'
}

/** Returns the milliseconds the server asks to wait, or null if it does not say. */
function parseRetryAfter({ headers }: Response): number | null {
	const text = headers.get('retry-after')
	if (text === null) return null
	if (/^\d+$/.test(text)) return Number(text) * 1000
	const at = Date.parse(text)
	return Number.isNaN(at) ? null : Math.max(0, at - Date.now())
}

async function createRefusal(response: Response, failed: boolean) {
	const reason = await readReason(response)
	const advice = failed ? 'It is busy or failing; try again later.' : "Correct the step's input or the server's settings."
	const message = `The model server answered with status ${response.status}${reason === '' ? '' : `: ${reason}`}. ${advice}`
	return agentError(failed ? 'upstream_failed' : 'upstream_refused', message, { retryable: failed })
}

/** Reads the reason from the body: the message of an error object, or the start of a text. */
async function readReason(response: Response): Promise<string> {
	const text = await readBeginning(response)
	try {
		const { error } = JSON.parse(text) as { error?: { message?: unknown } | string }
		const message = typeof error === 'object' ? error.message : error
		if (typeof message === 'string') return message.slice(0, 500)
	} catch (error) {
		if (!(error instanceof SyntaxError) && !(error instanceof TypeError)) throw error
	}
	return text.slice(0, 500)
}

async function readBeginning({ body }: Response): Promise<string> {
	if (body === null) return ''
	const decoder = new TextDecoder()
	let text = ''
	try {
		for await (const chunk of body) {
			text += decoder.decode(chunk, { stream: true })
			if (text.length >= MAX_REFUSAL_BYTES) break
		}
	} catch {
		return text // the status says enough
	}
	return text
}

/** Maximum size of one event of the stream. */
const MAX_EVENT_CHARACTERS = 1024 * 1024
const DONE = '[DONE]'

const chunk = z.looseObject({
	model: z.string().optional(),
	choices: z
		.array(
			z.looseObject({
				delta: z.looseObject({ content: z.string().nullish() }).nullish(),
				finish_reason: z.string().nullish(),
			}),
		)
		.default([]),
	usage: z.record(z.string(), z.unknown()).nullish(),
	error: z.union([z.string(), z.looseObject({ message: z.string() })]).nullish(),
})

/** One event of a streamed answer. */
export type Chunk = z.output<typeof chunk>

/**
 * Reads the events of a streamed answer up to `[DONE]` or the end, however the bytes are split.
 *
 * @throws AgentError `upstream_invalid` for a malformed event, `upstream_unavailable` when the connection breaks
 */
export async function* readChunks(body: AsyncIterable<Uint8Array>): AsyncGenerator<Chunk, void, void> {
	const events: EventSourceMessage[] = []
	let overflowed = false
	const parser = createParser({
		maxBufferSize: MAX_EVENT_CHARACTERS,
		onEvent: (event) => void events.push(event),
		onError: ({ type }) => {
			overflowed ||= type === 'max-buffer-size-exceeded'
		},
	})
	const decoder = new TextDecoder()
	for await (const bytes of passUnbroken(body)) {
		parser.feed(decoder.decode(bytes, { stream: true }))
		for (const { data } of events.splice(0)) {
			if (data === DONE) return
			yield parseChunk(data)
		}
		if (overflowed) throw createInvalidError(`an event of more than ${MAX_EVENT_CHARACTERS} characters`)
	}
}

/** Passes the bytes on and reports a broken connection as a failure of the model server. */
async function* passUnbroken(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
	try {
		yield* body
	} catch (cause) {
		throw createCutOffError(cause)
	}
}

function parseChunk(data: string): Chunk {
	const parsed = chunk.safeParse(parseJson(data))
	if (parsed.success) return parsed.data
	throw createInvalidError(`the event "${data.slice(0, 200)}"`)
}

function parseJson(data: string): unknown {
	try {
		return JSON.parse(data)
	} catch {
		return undefined // the schema refuses it like any other malformed event
	}
}

function createInvalidError(what: string) {
	const message = `The model server sent ${what}, which is not part of a chat completion. Check that its address is an OpenAI-compatible API.`
	return agentError('upstream_invalid', message, { retryable: true })
}

/** Creates the error for an answer that ends too early. */
export function createCutOffError(cause?: unknown) {
	const message = 'The answer of the model server ended before it was complete. Try again.'
	return agentError('upstream_unavailable', message, { retryable: true, cause })
}
