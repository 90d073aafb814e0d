import type { HttpBindings } from '@hono/node-server'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import { isFinished, isFullCursor } from '@planstream/shared'
import { contract } from '@planstream/shared/schemas'
import { Hono } from 'hono'
import { typedError } from '../api/errors.js'
import { assertAllowed, reported } from '../api/procedure.js'
import { routePath } from '../api/rest.js'
import { joinSignals } from '../api/signals.js'
import { toSubscribeRequest } from '../api/subscribe-request.js'
import type { StreamItem } from '../hub/stream-item.js'
import type { SubscribeRequest } from '../hub/subscription.js'
import { type DeliveryEnds, deliver } from './delivery.js'
import { answerChanges } from './sse-changes.js'
import { readSubscription } from './sse-input.js'
import { SseOutlet } from './sse-outlet.js'
import { countIn, leaving, SSE_HEADERS, type SseConnection, type SseContext, type SseOptions } from './sse-response.js'

/** A plan's events, and the live list of plans, for `curl`, a browser's EventSource and every other reader of SSE. */
export function sseRoutes(options: SseOptions): Hono<{ Bindings: HttpBindings }> {
	const app = new Hono<{ Bindings: HttpBindings }>({ strict: false })
	app.get(routePath(contract['plans.events']), (context) => answer(options, context))
	app.get(routePath(contract['plans.changes']), (context) => answerChanges(options, context))
	return app
}

async function answer(options: SseOptions, context: SseContext): Promise<Response> {
	const { hub, draining, contextOf } = options
	const { principal } = contextOf(context)
	assertAllowed(principal, 'plans.events')
	const plan_id = context.req.param('plan_id') ?? ''
	const search = new URL(context.req.url).search
	const { input, client_id } = readSubscription({ plan_id, search, lastEventId: context.req.header('last-event-id') })

	const left = leaving(context.env.outgoing)
	using ending = joinSignals(left, draining, principal.expired)
	const request = toSubscribeRequest(input, ending.signal)
	using connection = countIn(context, options, { principal, client_id, plan_id })
	const items = hub.subscribe(principal, plan_id, request)
	try {
		const { value: ready } = await items.next()
		if (ready === undefined || isOver(request, ready)) return context.body(null, 204)
		if (context.req.method === 'HEAD') return context.body(null, 200, SSE_HEADERS)
		await stream(options, { plan_id, connection, ready, items, ends: { left, ending: ending.signal } })
		return RESPONSE_ALREADY_SENT
	} finally {
		await items.return()
	}
}

interface Stream {
	readonly plan_id: string
	readonly connection: SseConnection
	readonly ready: StreamItem
	readonly items: AsyncGenerator<StreamItem, void, void>
	readonly ends: DeliveryEnds
}

async function stream(options: SseOptions, { plan_id, connection, ready, items, ends }: Stream): Promise<void> {
	using outlet = new SseOutlet(plan_id, connection, options)
	try {
		outlet.write(ready)
		await deliver(items, outlet, ends)
	} catch (thrown) {
		const problem = reported(typedError(thrown), options.onProblem, 'plans.events').toProblem()
		outlet.write({ kind: 'frame', frame: { frame: 'problem', plan_id, cursor: outlet.cursor, ...problem } })
	}
}

/** Whether a reader that wants no more than the plan's end has seen it: 204 is the standard way to stop an EventSource. */
function isOver({ follow, after }: SubscribeRequest, ready: StreamItem): boolean {
	if (ready.kind !== 'frame' || ready.frame.frame !== 'ready' || follow === 'always' || !isFullCursor(after)) return false
	const { recovered, plan_status, from_seq, head_seq } = ready.frame
	return recovered && plan_status !== 'unknown' && isFinished(plan_status) && from_seq > head_seq
}
