import { createParser, type EventSourceMessage } from 'eventsource-parser'
import * as z from 'zod'
import { agentError } from '../define-agent.js'
import type { Sleep } from '../scripted.js'

/** How often one attempt sends its request. */
const MAX_TRIES = 4
const BACKOFF_MS = 1000
/** A server that asks for more patience than this is left to the step's own retries. */
const MAX_WAIT_MS = 60_000
/** What is read of the body of a refusal. */
const MAX_REFUSAL_BYTES = 16_384

export interface ChatRequest {
	readonly url: string
	readonly key: string | null
	readonly body: Readonly<Record<string, unknown>>
	readonly signal: AbortSignal
	readonly sleep: Sleep
}

/**
 * Asks a model server and resolves with its answer once that begins. A server that is busy (429) or failing (5xx) is asked again, when
 * it says or with growing pauses.
 *
 * @throws AgentError `upstream_refused`, `upstream_failed` or `upstream_unavailable`; the signal's reason
 */
export async function ask(request: ChatRequest): Promise<Response> {
	for (let tries = 1; ; tries++) {
		const response = await send(request)
		if (response.ok) return response
		const failed = response.status === 429 || response.status >= 500
		const wait = retryAfter(response) ?? BACKOFF_MS * 2 ** (tries - 1)
		if (!failed || tries === MAX_TRIES || wait > MAX_WAIT_MS) throw await refusal(request, response, failed)
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
		const sentence = `${url} could not be reached. Check that the model server runs, and its address.`
		throw agentError('upstream_unavailable', sentence, { retryable: true, cause })
	}
}

/** Milliseconds the server asks to wait; null when it does not say. */
function retryAfter({ headers }: Response): number | null {
	const text = headers.get('retry-after')
	if (text === null) return null
	if (/^\d+$/.test(text)) return Number(text) * 1000
	const at = Date.parse(text)
	return Number.isNaN(at) ? null : Math.max(0, at - Date.now())
}

async function refusal({ url }: ChatRequest, response: Response, failed: boolean) {
	const reason = await reasonOf(response)
	const advice = failed ? 'It is busy or failing; try again later.' : "Correct the step's input or the server's settings."
	const sentence = `${url} answered with status ${response.status}${reason === '' ? '' : `: ${reason}`}. ${advice}`
	return agentError(failed ? 'upstream_failed' : 'upstream_refused', sentence, { retryable: failed })
}

/** What the body says: the message of an error object, or the beginning of a text. */
async function reasonOf(response: Response): Promise<string> {
	const text = await beginningOf(response)
	try {
		const { error } = JSON.parse(text) as { error?: { message?: unknown } | string }
		const message = typeof error === 'object' ? error.message : error
		if (typeof message === 'string') return message.slice(0, 500)
	} catch (error) {
		if (!(error instanceof SyntaxError) && !(error instanceof TypeError)) throw error
	}
	return text.slice(0, 500)
}

async function beginningOf({ body }: Response): Promise<string> {
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

/** What one event of the stream may hold. */
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
 * The events of a streamed answer, to `[DONE]` or to the end of the bytes, however they are cut.
 *
 * @throws AgentError `upstream_invalid` for what is no such event, `upstream_unavailable` when the connection breaks
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
	for await (const bytes of unbroken(body)) {
		parser.feed(decoder.decode(bytes, { stream: true }))
		for (const { data } of events.splice(0)) {
			if (data === DONE) return
			yield parse(data)
		}
		if (overflowed) throw invalid(`an event of more than ${MAX_EVENT_CHARACTERS} characters`)
	}
}

/** The same bytes; a connection that breaks is a failure of the other side. */
async function* unbroken(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
	try {
		yield* body
	} catch (cause) {
		throw cutOff(cause)
	}
}

function parse(data: string): Chunk {
	const parsed = chunk.safeParse(toJson(data))
	if (parsed.success) return parsed.data
	throw invalid(`the event "${data.slice(0, 200)}"`)
}

function toJson(data: string): unknown {
	try {
		return JSON.parse(data)
	} catch {
		return undefined // which is refused like any other event that is none
	}
}

function invalid(what: string) {
	const sentence = `The model server sent ${what}, which is no part of a chat completion. Is its address that of an OpenAI-compatible API?`
	return agentError('upstream_invalid', sentence, { retryable: true })
}

/** The failure of an answer that ends too early. */
export function cutOff(cause?: unknown) {
	const sentence = 'The answer of the model server ended before it was complete. Try again.'
	return agentError('upstream_unavailable', sentence, { retryable: true, cause })
}
