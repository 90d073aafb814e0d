import type { HttpBindings } from '@hono/node-server'
import type { Context, MiddlewareHandler } from 'hono'
import { assertLocal } from './auth.js'

const PREFLIGHT_SECONDS = '600'

type Bound = { Bindings: HttpBindings }

/** Refuses what does not come from this machine, and lets its pages on other ports read the answers. */
export function localOnly(): MiddlewareHandler<Bound> {
	return async (context, next) => {
		const { headers } = context.env.incoming
		assertLocal(headers)
		context.header('x-content-type-options', 'nosniff')
		context.header('vary', 'origin')
		if (headers.origin !== undefined) {
			context.header('access-control-allow-origin', headers.origin)
			context.header('access-control-expose-headers', 'allow, retry-after')
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
