import type { HttpBindings } from '@hono/node-server'
import { fetchRequestHandler } from '@trpc/server/adapters/fetch'
import { Hono } from 'hono'
import type { Context } from '../api/procedure.js'
import { readSubscriptionCall, type TrpcHttpOptions, TrpcSse } from './sse/trpc.js'
import { MAX_BATCH_CALLS, reportAdapterFailures } from './trpc-errors.js'

/** tRPC over HTTP below `/trpc`: queries, mutations, batches of them, and subscriptions as server-sent events. */
export function trpcRoutes(options: TrpcHttpOptions): Hono<{ Bindings: HttpBindings }> {
	const { router, contextOf } = options
	const onError = reportAdapterFailures(options.onProblem)
	const subscriptions = new TrpcSse(options)
	const app = new Hono<{ Bindings: HttpBindings }>()
	app.on(['GET', 'POST'], '/trpc/*', async (context) => {
		const call = readSubscriptionCall(context.req.raw)
		if (call !== null) return subscriptions.answer(context, call)
		const createContext = (): Context => contextOf(context)
		const req = context.req.raw
		const response = await fetchRequestHandler({
			endpoint: '/trpc',
			req,
			router,
			createContext,
			maxBatchSize: MAX_BATCH_CALLS,
			onError,
		})
		response.headers.delete('connection')
		// What tRPC refuses as a whole it writes as JSON without saying so.
		if (!response.ok) response.headers.set('content-type', 'application/json')
		return context.newResponse(response.body, response)
	})
	return app
}
