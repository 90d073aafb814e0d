import type { HttpBindings } from '@hono/node-server'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import { isFinished, isFullCursor, type ReadyFrame } from '@planstream/shared'
import { contract } from '@planstream/shared/schemas'
import { Hono } from 'hono'
import { typedError } from '../api/errors.js'
import { assertAllowed, type OnProblem, reported } from '../api/procedure.js'
import { toReadRequest } from '../api/read-request.js'
import { routePath } from '../api/rest.js'
import type { ReadRequest } from '../hub/plan-reader.js'
import { answerChanges } from './sse-changes.js'
import { HEARTBEAT_BLOCK, itemBlock, openingBlock } from './sse-frames.js'
import { type Reading, readSubscription } from './sse-input.js'
import { SSE_HEADERS, type SseOptions } from './sse-options.js'
import { type SseBeginning, type SseDialect, SseOutlet } from './sse-outlet.js'
import type { SseContext, SsePeer, SseStream } from './sse-stream.js'

/** A plan's events, and the live list of plans, for `curl`, a browser's EventSource and every other reader of SSE. */
export function sseRoutes(options: SseOptions): Hono<{ Bindings: HttpBindings }> {
	const app = new Hono<{ Bindings: HttpBindings }>({ strict: false })
	const dialect = plainDialect(options.onProblem)
	app.get(routePath(contract['plans.events']), (context) => answer(options, dialect, context))
	app.get(routePath(contract['plans.changes']), (context) => answerChanges(options, context))
	return app
}

function plainDialect(onProblem: OnProblem): SseDialect {
	return {
		name: 'sse',
		block: itemBlock,
		/** A comment shows life to everybody, the position also moves the cursor of who resumes. */
		beat: (plan_id, cursor) => HEARTBEAT_BLOCK + itemBlock({ kind: 'frame', frame: { frame: 'position', plan_id, cursor } }),
		after: () => null,
		broken: (thrown, plan_id, cursor) => {
			const problem = reported(typedError(thrown), onProblem, 'plans.events').toProblem()
			return itemBlock({ kind: 'frame', frame: { frame: 'problem', plan_id, cursor, ...problem } })
		},
	}
}

/** Answers as soon as it is known what the position is worth; what follows is the delivery's. */
function answer(options: SseOptions, dialect: SseDialect, context: SseContext): Promise<Response> {
	const { principal } = options.contextOf(context)
	assertAllowed(principal, 'plans.events')
	const plan_id = context.req.param('plan_id') ?? ''
	const search = new URL(context.req.url).search
	const { input, reading } = readSubscription({ plan_id, search, lastEventId: context.req.header('last-event-id') })
	const request = toReadRequest(input)
	const peer: SsePeer = { transport: 'sse', principal, client_id: reading.client_id }
	return new Promise((resolve, reject) => {
		const beginning: SseBeginning = {
			begin: (stream, ready) => {
				const response = isOver(request, ready) ? context.body(null, 204) : begin(options, context, stream, reading)
				resolve(response)
				if (response === RESPONSE_ALREADY_SENT) return true
				stream[Symbol.dispose]()
				return false
			},
			left: () => resolve(RESPONSE_ALREADY_SENT),
			failed: reject,
		}
		const outlet = new SseOutlet(context, { stream: options, dialect, peer, plan_id, beginning })
		outlet.deliver(options.deliveries, principal, request)
	})
}

/** Begins a stream, unless only its headers are asked for. */
function begin({ random }: SseOptions, context: SseContext, stream: SseStream, { closeAfterMs }: Reading): Response {
	if (context.req.method === 'HEAD') return context.body(null, 200, SSE_HEADERS)
	// Taken from an answer without a body: a response once begun in the context would be sent beside the stream.
	const headers = { ...Object.fromEntries(context.body(null).headers), ...SSE_HEADERS }
	stream.open({ headers, block: openingBlock(random), closeAfterMs })
	return RESPONSE_ALREADY_SENT
}

/** Whether a reader that wants no more than the plan's end has seen it: 204 is the standard way to stop an EventSource. */
function isOver({ follow, after }: ReadRequest, { recovered, plan_status, from_seq, head_seq }: ReadyFrame): boolean {
	if (follow === 'always' || !isFullCursor(after)) return false
	return recovered && plan_status !== 'unknown' && isFinished(plan_status) && from_seq > head_seq
}
