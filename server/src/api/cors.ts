import type { HttpBindings } from '@hono/node-server'
import type { Context, MiddlewareHandler } from 'hono'
import { type Authenticator, assertOneHost } from '../auth/authenticator.js'

const PREFLIGHT_SECONDS = '600'

/**
 * Refuses what comes from where it must not, and lets pages that may ask read the answers. The headers are set on the
 * outgoing message itself, so that answers, problems and streams all carry them.
 */
export function originGuard(authority: Authenticator): MiddlewareHandler<{ Bindings: HttpBindings }> {
	return async (context, next) => {
		const { incoming, outgoing } = context.env
		outgoing.setHeader('x-content-type-options', 'nosniff')
		assertOneHost(incoming)
		authority.checkOrigin(incoming)
		const { origin } = incoming.headers
		if (origin !== undefined) {
			outgoing.setHeader('access-control-allow-origin', origin)
			outgoing.setHeader('access-control-expose-headers', 'allow, retry-after, www-authenticate')
			outgoing.setHeader('vary', 'origin')
		}
		await next()
	}
}

/** Answers OPTIONS: what an address takes, and a browser's question whether a page may send it. */
export function options(context: Context, methods: string): Response {
	context.header('allow', methods)
	if (context.req.header('access-control-request-method') !== undefined) {
		context.header('access-control-allow-methods', methods)
		context.header('access-control-allow-headers', context.req.header('access-control-request-headers') ?? '')
		context.header('access-control-max-age', PREFLIGHT_SECONDS)
	}
	return context.body(null, 204)
}
