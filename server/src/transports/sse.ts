import type { ServerResponse } from 'node:http'
import type { HttpBindings } from '@hono/node-server'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import { isFinished, isFullCursor } from '@planstream/shared'
import { contract } from '@planstream/shared/schemas'
import { Hono, type Context as HonoContext } from 'hono'
import type { Context } from '../api/context.js'
import { typedError } from '../api/errors.js'
import { assertAllowed, type OnProblem, reported } from '../api/procedure.js'
import { routePath } from '../api/rest.js'
import { joinSignals } from '../api/signals.js'
import { toSubscribeRequest } from '../api/subscribe-request.js'
import type { ConnectionLimits } from '../connections/limits.js'
import type { Connections } from '../connections/registry.js'
import type { Schedule } from '../connections/schedule.js'
import type { Hub } from '../hub/hub.js'
import type { StreamItem } from '../hub/stream-item.js'
import type { SubscribeRequest } from '../hub/subscription.js'
import { deliver } from './delivery.js'
import { readSubscription } from './sse-input.js'
import { SSE_HEADERS, SseOutlet } from './sse-outlet.js'

export interface SseOptions {
	readonly hub: Hub
	readonly connections: Connections
	readonly limits: ConnectionLimits
	/** Aborts when the server stops. */
	readonly draining: AbortSignal
	readonly contextOf: (context: HonoContext) => Context
	readonly schedule: Schedule
	/** From 0 up to 1. */
	readonly random: () => number
	readonly onProblem: OnProblem
}

type NodeContext = HonoContext<{ Bindings: HttpBindings }>

/** `GET /api/v1/streaming/plans/{plan_id}/events`: a plan's events for `curl`, a browser's EventSource and every other reader of SSE. */
export function sseRoutes(options: SseOptions): Hono<{ Bindings: HttpBindings }> {
	const app = new Hono<{ Bindings: HttpBindings }>({ strict: false })
	app.get(routePath(contract['plans.events']), (context) => answer(options, context))
	return app
}

async function answer(options: SseOptions, context: NodeContext): Promise<Response> {
	const { hub, connections, draining, contextOf } = options
	const { principal } = contextOf(context)
	assertAllowed(principal, 'plans.events')
	const plan_id = context.req.param('plan_id') ?? ''
	const search = new URL(context.req.url).search
	const input = readSubscription({ plan_id, search, lastEventId: context.req.header('last-event-id') })

	const response = context.env.outgoing
	using ending = joinSignals(closing(response), draining, principal.expired)
	const request = toSubscribeRequest(input, ending.signal)
	using connection = connections.open({ transport: 'sse', terminate: () => response.destroy() })
	using _stream = connection.begin(plan_id)
	const items = hub.subscribe(principal, plan_id, request)
	try {
		const { value: ready } = await items.next()
		if (ready === undefined || isOver(request, ready)) return context.body(null, 204)
		if (context.req.method === 'HEAD') return context.body(null, 200, SSE_HEADERS)
		await stream(options, { response, headers: middlewareHeaders(context), plan_id, ready, items, request })
		return RESPONSE_ALREADY_SENT
	} finally {
		await items.return()
	}
}

interface Stream {
	readonly response: ServerResponse
	/** What middleware has set. */
	readonly headers: Record<string, string>
	readonly plan_id: string
	readonly ready: StreamItem
	readonly items: AsyncGenerator<StreamItem, void, void>
	readonly request: SubscribeRequest
}

async function stream(options: SseOptions, { response, headers, plan_id, ready, items, request }: Stream): Promise<void> {
	using outlet = new SseOutlet(response, { ...options, plan_id, headers })
	try {
		outlet.write(ready)
		await deliver(items, outlet, request.signal)
	} catch (thrown) {
		const problem = reported(typedError(thrown), options.onProblem, 'plans.events').toProblem()
		outlet.write({ kind: 'frame', frame: { frame: 'problem', plan_id, cursor: outlet.cursor, ...problem } })
	}
}

/** Taken from an answer without a body: a response once begun in the context would be sent beside the stream. */
function middlewareHeaders(context: NodeContext): Record<string, string> {
	return Object.fromEntries(context.body(null).headers)
}

/** Whether a reader that wants no more than the plan's end has seen it: 204 is the standard way to stop an EventSource. */
function isOver({ follow, after }: SubscribeRequest, ready: StreamItem): boolean {
	if (ready.kind !== 'frame' || ready.frame.frame !== 'ready' || follow === 'always' || !isFullCursor(after)) return false
	const { recovered, plan_status, from_seq, head_seq } = ready.frame
	return recovered && plan_status !== 'unknown' && isFinished(plan_status) && from_seq > head_seq
}

function closing(response: ServerResponse): AbortSignal {
	const closed = new AbortController()
	response.once('close', () => closed.abort())
	if (response.destroyed) closed.abort()
	return closed.signal
}
