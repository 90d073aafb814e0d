import { createParser, type EventSourceMessage } from 'eventsource-parser'
import * as z from 'zod'
import { agentError } from '../agent-error.js'

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
