import { PlanstreamError } from '@planstream/shared'
import type { MiddlewareHandler } from 'hono'

/** Limit of a request's body; see PROTOCOL.md section 7. */
const MAX_BODY_BYTES = 1024 * 1024

/**
 * Reads the body of a request once, for whoever answers it: refused when it is over the limit, and when it is not UTF-8,
 * because what cannot be decoded would be stored as something else than was sent.
 */
export function textBody(): MiddlewareHandler {
	return async (context, next) => {
		const { url, method, headers } = context.req.raw
		assertPlain(headers.get('content-encoding'))
		if (headers.has('content-length') || headers.has('transfer-encoding')) {
			const text = decode(await readBytes(context.req.raw).catch(brokenOff))
			context.req.raw = new Request(url, { method, headers, ...(text !== '' && { body: text }) })
		}
		await next()
	}
}

/** What is compressed would be told to be no UTF-8, which says nothing to its sender. */
function assertPlain(encoding: string | null): void {
	if (encoding === null || encoding.toLowerCase() === 'identity') return
	const sentence = `The body is sent as ${encoding.slice(0, 80)}, which is not read here. Send it without Content-Encoding.`
	throw new PlanstreamError('bad_request', sentence, { path: 'content-encoding' })
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
function brokenOff(cause: unknown): never {
	if (cause instanceof PlanstreamError) throw cause
	const sentence = 'The connection was closed before the whole body had come. Send the request again.'
	throw new PlanstreamError('bad_request', sentence, {}, { cause })
}

function tooLarge(): PlanstreamError {
	const sentence = `The body has more than ${MAX_BODY_BYTES} bytes. Send less in one request.`
	return new PlanstreamError('too_large', sentence, { limit: MAX_BODY_BYTES })
}

function decode(bytes: ArrayBuffer | Uint8Array): string {
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
	const value = parse(text)
	if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
	throw new PlanstreamError('bad_request', 'The body must be a JSON object, such as {"query": "..."}.', { path: '' })
}

function parse(text: string): unknown {
	try {
		return JSON.parse(text)
	} catch (cause) {
		const why = cause instanceof Error ? ` (${cause.message.slice(0, 120)})` : ''
		throw new PlanstreamError('bad_request', `The body is not JSON${why}. Send one JSON object.`, {}, { cause })
	}
}
