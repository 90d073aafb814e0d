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
import { type DeliveryEnds, deliver } from './delivery.js'
import { readSubscription } from './sse-input.js'
import { SSE_HEADERS, SseOutlet, type SseOutletOptions } from './sse-outlet.js'
import { responseTurns } from './streamed-response.js'

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
	const { hub, connections, limits, draining, contextOf } = options
	const { principal } = contextOf(context)
	assertAllowed(principal, 'plans.events')
	const plan_id = context.req.param('plan_id') ?? ''
	const search = new URL(context.req.url).search
	const { input, client_id } = readSubscription({ plan_id, search, lastEventId: context.req.header('last-event-id') })

	const response = context.env.outgoing
	const left = closing(response)
	using ending = joinSignals(left, draining, principal.expired)
	const request = toSubscribeRequest(input, ending.signal)
	const turns = responseTurns(response, limits.sendBufferBytes)
	using connection = connections.open({ transport: 'sse', lagging: () => turns.full, terminate: () => response.destroy() })
	connection.identify({ tenant: principal.tenant, client_id })
	using _stream = connection.begin(plan_id)
	const items = hub.subscribe(principal, plan_id, request)
	try {
		const { value: ready } = await items.next()
		if (ready === undefined || isOver(request, ready)) return context.body(null, 204)
		if (context.req.method === 'HEAD') return context.body(null, 200, SSE_HEADERS)
		const outlet = { connection, turns, headers: middlewareHeaders(context), plan_id }
		await stream(options, { response, outlet, ready, items, ends: { left, ending: ending.signal } })
		return RESPONSE_ALREADY_SENT
	} finally {
		await items.return()
	}
}

interface Stream {
	readonly response: ServerResponse
	readonly outlet: Pick<SseOutletOptions, 'plan_id' | 'headers' | 'connection' | 'turns'>
	readonly ready: StreamItem
	readonly items: AsyncGenerator<StreamItem, void, void>
	readonly ends: DeliveryEnds
}

async function stream(options: SseOptions, { response, outlet: own, ready, items, ends }: Stream): Promise<void> {
	using outlet = new SseOutlet(response, { ...options, ...own })
	try {
		outlet.write(ready)
		await deliver(items, outlet, ends)
	} catch (thrown) {
		const problem = reported(typedError(thrown), options.onProblem, 'plans.events').toProblem()
		outlet.write({ kind: 'frame', frame: { frame: 'problem', plan_id: own.plan_id, cursor: outlet.cursor, ...problem } })
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
