import type { ServerResponse } from 'node:http'
import type { HttpBindings } from '@hono/node-server'
import { fetchRequestHandler } from '@trpc/server/adapters/fetch'
import { Hono, type Context as HonoContext } from 'hono'
import { clientIdOf, readClientId } from '../api/client-id.js'
import type { Context } from '../api/context.js'
import type { OnProblem } from '../api/procedure.js'
import type { AppRouter } from '../api/router.js'
import type { CarriedStream, Carrier } from '../connections/carrier.js'
import type { ConnectionLimits } from '../connections/limits.js'
import type { Connection, ConnectionEnds, Connections } from '../connections/registry.js'
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
	app.on(['GET', 'POST'], '/trpc/*', async (context) => {
		const { outgoing } = context.env
		const caller = options.contextOf(context)
		let connection: Connection | null = null
		const response = await fetchRequestHandler({
			endpoint: '/trpc',
			req: context.req.raw,
			router: options.router,
			createContext: ({ info }) => {
				const client_id = clientIdOf(context.req.url) ?? readClientId(info.connectionParams?.client_id)
				const begin = (plan_id: string | null): CarriedStream => {
					connection = options.connections.open(responseEnds(outgoing))
					connection.identify({ tenant: caller.principal.tenant, client_id })
					streamedBy(outgoing, options.limits.stallTimeoutMs)
					return carriedByResponse(connection, plan_id)
				}
				return { ...caller, carrier: { begin, call: (work) => work() } satisfies Carrier }
			},
			maxBatchSize: MAX_BATCH_CALLS,
			onError,
		})
		response.headers.delete('connection')
		// What tRPC refuses as a whole it writes as JSON without saying so.
		if (!response.ok) response.headers.set('content-type', 'application/json')
		const body = isStream(response) ? response.body?.pipeThrough(passing(() => connection?.seen())) : response.body
		return context.newResponse(body ?? null, response)
	})
	return app
}

function responseEnds(response: ServerResponse): ConnectionEnds {
	const lagging = (): boolean => response.writableNeedDrain
	return { transport: 'trpc-sse', lagging, terminate: () => response.destroy() }
}

/** A response is one stream. Its body is pulled as the socket drains, so the stream has nothing to wait for itself. */
function carriedByResponse(connection: Connection, plan_id: string | null): CarriedStream {
	connection.begin(plan_id)
	return {
		turn: () => Promise.resolve({ [Symbol.dispose]: () => undefined }),
		delivered: () => connection.delivered(),
		cut: (signal) =>
			signal.aborted
				? Promise.resolve()
				: Promise.reject(new DOMException('The reader resumes on another connection.', 'AbortError')),
		[Symbol.dispose]: () => connection[Symbol.dispose](),
	}
}

function isStream({ headers }: Response): boolean {
	return headers.get('content-type')?.startsWith('text/event-stream') === true
}

/** Passes bytes on unchanged; each time the next ones are asked for, the ones before were taken. */
function passing(onPull: () => void): TransformStream<Uint8Array, Uint8Array> {
	const transform = (chunk: Uint8Array, controller: TransformStreamDefaultController<Uint8Array>): void => {
		onPull()
		controller.enqueue(chunk)
	}
	return new TransformStream({ transform })
}
