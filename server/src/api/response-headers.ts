import { randomUUID } from 'node:crypto'
import type { HttpBindings } from '@hono/node-server'
import type { Context, MiddlewareHandler } from 'hono'
import { type Authenticator, assertSingleHeaders } from '../auth/authenticator.js'

/** Headers of every response. They forbid scripts, framing, embedding by other origins, and sending the URL as a referrer. */
export const SECURITY_HEADERS = {
	'content-security-policy': "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
	'cross-origin-resource-policy': 'same-origin',
	'referrer-policy': 'no-referrer',
	'x-content-type-options': 'nosniff',
} as const

/** Header with the id of a request, which the response and the log share. */
export const REQUEST_ID = 'x-request-id'

/** Creates the id of a request. It is random, because a counter would reveal to each tenant how many requests others send. */
export function createRequestId(): string {
	return randomUUID()
}

/** Tells whether an If-None-Match header names an entity tag. Weak and strong tags compare equal (RFC 9110, 13.1.2). */
export function matchesTag(header: string | undefined, etag: string): boolean {
	if (header === undefined) return false
	const opaque = etag.replace(/^W\//, '')
	return header.trim() === '*' || [...header.matchAll(/"[^"]*"/g)].some(([tag]) => tag === opaque)
}

const PREFLIGHT_SECONDS = '600'
const SECURITY_ENTRIES = Object.entries(SECURITY_HEADERS)

interface GuardedEnv {
	readonly Bindings: HttpBindings
	readonly Variables: { readonly requestId: string }
}

/**
 * Refuses requests from forbidden hosts and origins, and lets pages read the responses, of which a forbidden origin gets refusals only. The headers are set on
 * the outgoing message itself, so that responses, problems and streams all carry them.
 */
export function originGuard(authority: Authenticator): MiddlewareHandler<GuardedEnv> {
	return async (context, next) => {
		const { incoming, outgoing } = context.env
		const requestId = createRequestId()
		context.set('requestId', requestId)
		outgoing.setHeader(REQUEST_ID, requestId)
		for (const [name, value] of SECURITY_ENTRIES) outgoing.setHeader(name, value)
		assertSingleHeaders(incoming)
		const { headers, socket, url } = incoming
		const { origin } = headers
		// Set before the check: a page of a forbidden origin may read that it is refused, and what to do.
		if (origin !== undefined) {
			outgoing.setHeader('access-control-allow-origin', origin)
			outgoing.setHeader('access-control-expose-headers', 'allow, retry-after, www-authenticate, x-request-id')
			outgoing.setHeader('vary', 'origin')
		}
		authority.checkOrigin({ headers, socket, url, path: context.req.path })
		await next()
	}
}

/** Answers OPTIONS with the methods of a path, and a browser's CORS preflight. */
export function answerOptions(context: Context, methods: string): Response {
	context.header('allow', methods)
	if (context.req.header('access-control-request-method') !== undefined) {
		context.header('access-control-allow-methods', methods)
		context.header('access-control-allow-headers', context.req.header('access-control-request-headers') ?? '')
		context.header('access-control-max-age', PREFLIGHT_SECONDS)
	}
	return context.body(null, 204)
}
