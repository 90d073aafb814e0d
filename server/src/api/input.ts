import {
	CLIENT_ID_PATTERN,
	EMPTY_FINGERPRINT,
	type ParsedSubscribeInput,
	PlanstreamError,
	type Position,
	parsePosition,
} from '@planstream/shared'
import type { MiddlewareHandler } from 'hono'
import type { ReadOptions } from '../hub/reader.js'
import { showPath } from '../ops/issues.js'

/** Limit of a request's body; see PROTOCOL.md section 7. */
const MAX_BODY_BYTES = 1024 * 1024

/**
 * Reads the body of a request once, for whoever answers it: refused when it is over the limit, and when it is not UTF-8,
 * because what cannot be decoded would be stored as something else than was sent.
 */
export function readTextBody(): MiddlewareHandler {
	return async (context, next) => {
		const { url, method, headers } = context.req.raw
		assertPlain(headers.get('content-encoding'))
		if (headers.has('content-length') || headers.has('transfer-encoding')) {
			const text = decodeUtf8(await readBytes(context.req.raw).catch(refuseBrokenBody))
			context.req.raw = new Request(url, { method, headers, ...(text !== '' && { body: text }) })
		}
		await next()
	}
}

/** What is compressed would be told to be no UTF-8, which says nothing to its sender. */
function assertPlain(encoding: string | null): void {
	if (encoding === null || encoding.toLowerCase() === 'identity') return
	const message = `The body is sent as ${encoding.slice(0, 80)}, which is not read here. Send it without Content-Encoding.`
	throw new PlanstreamError('bad_request', message, { path: 'content-encoding' })
}

async function readBytes(request: Request): Promise<ArrayBuffer | Uint8Array> {
	const announced = request.headers.get('content-length')
	if (Number(announced) > MAX_BODY_BYTES) throw tooLarge()
	if (announced !== null) return request.arrayBuffer()
	const chunks: Uint8Array[] = []
	let size = 0
	for await (const chunk of request.body ?? []) {
		size += chunk.length
		if (size > MAX_BODY_BYTES) throw tooLarge()
		chunks.push(chunk)
	}
	return Buffer.concat(chunks)
}

/** Whoever sent it is gone; that is no failure of this server. */
function refuseBrokenBody(cause: unknown): never {
	if (cause instanceof PlanstreamError) throw cause
	const message = 'The connection was closed before the whole body had come. Send the request again.'
	throw new PlanstreamError('bad_request', message, {}, { cause })
}

function tooLarge(): PlanstreamError {
	const message = `The body has more than ${MAX_BODY_BYTES} bytes. Send less in one request.`
	return new PlanstreamError('too_large', message, { limit: MAX_BODY_BYTES })
}

function decodeUtf8(bytes: ArrayBuffer | Uint8Array): string {
	try {
		return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
	} catch (cause) {
		throw new PlanstreamError('bad_request', 'The body is not UTF-8. Encode the JSON as UTF-8.', {}, { cause })
	}
}

/**
 * The JSON object in a body; an empty body stands for an empty one.
 *
 * @throws PlanstreamError `bad_request`
 */
export function parseObject(text: string): Record<string, unknown> {
	if (text === '') return {}
	const value = parseJson(text, (why) => `The body is not JSON${why}. Send one JSON object.`)
	if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
	throw new PlanstreamError('bad_request', 'The body must be a JSON object, such as {"query": "..."}.', { path: '' })
}

/**
 * Parses text from a client.
 *
 * @param explain - makes the message of the error from the parser's own, which is empty or stands in parentheses
 * @throws PlanstreamError `bad_request`
 */
export function parseJson(text: string, explain: (why: string) => string): unknown {
	try {
		return JSON.parse(text)
	} catch (cause) {
		const why = cause instanceof Error ? ` (${cause.message.slice(0, 120)})` : ''
		throw new PlanstreamError('bad_request', explain(why), {}, { cause })
	}
}

/** How deep a value from outside may nest. */
const MAX_DEPTH = 32

/**
 * Walks a value from outside once, before any schema sees it: JSON only, not too deep, without keys that reach a prototype, and
 * without integers that this runtime cannot hold exactly (they would come out as other numbers than were sent).
 *
 * @throws PlanstreamError `bad_request` with the `path` of what was refused
 */
export function checkJson(value: unknown): void {
	visit(value, [])
}

/** Where the walk is; one array for the whole walk. */
type Path = (string | number)[]

function visit(value: unknown, path: Path): void {
	switch (typeof value) {
		case 'string':
		case 'boolean':
			return
		case 'number':
			checkNumber(value, path)
			return
		case 'object':
			if (value !== null) visitInside(value, path)
			return
		default:
			refuse(path, `is a value of type ${typeof value}, which JSON does not have. Send JSON only`)
	}
}

function visitInside(value: object, path: Path): void {
	if (path.length >= MAX_DEPTH) refuse(path, `is nested deeper than ${MAX_DEPTH} levels. Send it flatter`, { limit: MAX_DEPTH })
	if (Array.isArray(value)) {
		for (const [index, item] of value.entries()) visitAt(index, item, path)
		return
	}
	const prototype: unknown = Object.getPrototypeOf(value)
	if (prototype !== Object.prototype && prototype !== null) refuse(path, 'is not plain JSON. Send objects and arrays only')
	for (const [key, item] of Object.entries(value)) {
		if (key === '__proto__') refuse([...path, key], 'is a name that no field may have. Rename it')
		visitAt(key, item, path)
	}
}

function visitAt(key: string | number, value: unknown, path: Path): void {
	path.push(key)
	visit(value, path)
	path.pop()
}

function checkNumber(value: number, path: Path): void {
	if (!Number.isFinite(value)) refuse(path, 'is a number too large for JSON in this server. Send it as text')
	if (Number.isInteger(value) && !Number.isSafeInteger(value)) {
		const limit = Number.MAX_SAFE_INTEGER
		refuse(path, `is an integer beyond ${limit}, which would be changed on its way. Send it as text`, { limit })
	}
}

function refuse(path: Readonly<Path>, what: string, facts: { readonly limit?: number } = {}): never {
	const shown = showPath(path)
	throw new PlanstreamError('bad_request', `${shown === '' ? 'The input' : shown} ${what}.`, { path: shown, ...facts })
}

/** A cursor of an epoch no log has: whoever resumes from it is told `reset: epoch` and starts over. */
const NOWHERE: Position = { epoch: '-', seq: 0, fingerprint: EMPTY_FINGERPRINT }

/**
 * What the hub is asked for, from what a subscriber sent. The id of the last item seen wins over `after`, and because a browser cannot
 * change it, one that is no cursor is answered by a reset rather than refused.
 *
 * @throws PlanstreamError `bad_request` when `after` is no position, or when a snapshot is asked for at a place that has none
 */
export function toReadRequest(input: ParsedSubscribeInput): ReadOptions {
	const { follow, event_types, step_id, max_events_per_s, lastEventId } = input
	const resumed = lastEventId !== undefined && lastEventId !== ''
	const after = resumed ? (parsePosition(lastEventId) ?? NOWHERE) : readPosition(input.after)
	if (input.snapshot && !resumed && typeof after !== 'string') {
		const message = `A snapshot goes with after "start" or "now", but after is "${input.after}". Leave one of the two out.`
		throw new PlanstreamError('bad_request', message, { path: 'snapshot', allowed: ['start', 'now'] })
	}
	return {
		after,
		follow,
		snapshot: input.snapshot && !resumed,
		...(event_types !== undefined && { event_types: new Set(event_types) }),
		...(step_id !== undefined && { step_id }),
		...(max_events_per_s !== undefined && { max_events_per_s }),
	}
}

/** @throws PlanstreamError `bad_request` when the text is no position */
export function readPosition(text: string): Position {
	const position = parsePosition(text)
	if (position !== null) return position
	const message = `after is "${text}", which is no position. Send a cursor as you got it, a sequence number, "start" or "now".`
	throw new PlanstreamError('bad_request', message, { path: 'after' })
}

/**
 * What a client calls itself, by which it is found in the list of clients.
 *
 * @returns undefined when it gives no name
 * @throws PlanstreamError `bad_request`
 */
export function readClientId(text: string | null | undefined): string | undefined {
	if (text == null || CLIENT_ID_PATTERN.test(text)) return text ?? undefined
	const message = `client_id is "${text.slice(0, 128)}"; it must be 1 to 128 letters, digits, ".", "_", ":" or "-".`
	throw new PlanstreamError('bad_request', message, { path: 'client_id' })
}

/** The same from the query of an address. */
export function readUrlClientId(url: string | undefined): string | undefined {
	return readClientId(new URLSearchParams((url ?? '').split('?', 2)[1]).get('client_id'))
}
