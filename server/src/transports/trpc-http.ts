import type { ServerResponse } from 'node:http'
import type { HttpBindings } from '@hono/node-server'
import { fetchRequestHandler } from '@trpc/server/adapters/fetch'
import { Hono, type Context as HonoContext } from 'hono'
import type { Context } from '../api/context.js'
import type { OnProblem } from '../api/procedure.js'
import type { AppRouter } from '../api/router.js'
import type { CarriedStream } from '../connections/carrier.js'
import type { ConnectionLimits } from '../connections/limits.js'
import type { Connections } from '../connections/registry.js'
import { streamedBy } from './streamed-response.js'
import { MAX_BATCH_CALLS, reportAdapterFailures } from './trpc-failures.js'

export interface TrpcHttpOptions {
	readonly router: AppRouter
	readonly connections: Connections
	readonly limits: ConnectionLimits
	readonly contextOf: (context: HonoContext) => Context
	readonly onProblem: OnProblem
}

/** tRPC over HTTP below `/trpc`: queries, mutations, batches of them, and subscriptions as server-sent events. */
export function trpcRoutes(options: TrpcHttpOptions): Hono<{ Bindings: HttpBindings }> {
	const onError = reportAdapterFailures(options.onProblem)
	const app = new Hono<{ Bindings: HttpBindings }>()
	app.all('/trpc/*', async (context) => {
		const carrier = { begin: (plan_id: string) => carriedByResponse(options, context.env.outgoing, plan_id) }
		const response = await fetchRequestHandler({
			endpoint: '/trpc',
			req: context.req.raw,
			router: options.router,
			createContext: () => ({ ...options.contextOf(context), carrier }),
			maxBatchSize: MAX_BATCH_CALLS,
			onError,
		})
		response.headers.delete('connection')
		return context.newResponse(response.body, response)
	})
	return app
}

/** A response is one stream. Its body is pulled as the socket drains, so the stream has nothing to wait for itself. */
function carriedByResponse({ connections, limits }: TrpcHttpOptions, response: ServerResponse, plan_id: string): CarriedStream {
	const connection = connections.open({ transport: 'trpc-sse', terminate: () => response.destroy() })
	connection.begin(plan_id)
	streamedBy(response, limits.stallTimeoutMs)
	return {
		drained: () => Promise.resolve(),
		cut: () => Promise.reject(new DOMException('The reader resumes on another connection.', 'AbortError')),
		[Symbol.dispose]: () => connection[Symbol.dispose](),
	}
}
