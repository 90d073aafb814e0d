import type { HttpBindings } from '@hono/node-server'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import { isFinished, isFullCursor, type ReadyFrame } from '@planstream/shared'
import { contract } from '@planstream/shared/schemas'
import { Hono } from 'hono'
import { typedError } from '../api/errors.js'
import { assertAllowed, reported } from '../api/procedure.js'
import { toReadRequest } from '../api/read-request.js'
import { routePath } from '../api/rest.js'
import type { Delivery } from '../delivery/delivery.js'
import type { ReadRequest } from '../hub/plan-reader.js'
import type { Principal } from '../hub/principal.js'
import { answerChanges } from './sse-changes.js'
import { HEARTBEAT_BLOCK, itemBlock, openingBlock } from './sse-frames.js'
import { type Reading, readSubscription } from './sse-input.js'
import { SSE_HEADERS, type SseOptions } from './sse-options.js'
import { type BeginSse, type SseDialect, SseOutlet } from './sse-outlet.js'
import { type SseContext, SseStream } from './sse-stream.js'

/** A plan's events, and the live list of plans, for `curl`, a browser's EventSource and every other reader of SSE. */
export function sseRoutes(options: SseOptions): Hono<{ Bindings: HttpBindings }> {
	const app = new Hono<{ Bindings: HttpBindings }>({ strict: false })
	app.get(routePath(contract['plans.events']), (context) => answer(options, context))
	app.get(routePath(contract['plans.changes']), (context) => answerChanges(options, context))
	return app
}

/** Answers as soon as it is known what the position is worth; what follows is the delivery's. */
function answer(options: SseOptions, context: SseContext): Promise<Response> {
	const { principal } = options.contextOf(context)
	assertAllowed(principal, 'plans.events')
	const plan_id = context.req.param('plan_id') ?? ''
	const search = new URL(context.req.url).search
	const { input, reading } = readSubscription({ plan_id, search, lastEventId: context.req.header('last-event-id') })
	const request = toReadRequest(input)
	return new Promise((resolve, reject) => {
		deliver({ options, context, principal, reading, plan_id, request }, { resolve, reject })
	})
}

interface PlainRequest {
	readonly options: SseOptions
	readonly context: SseContext
	readonly principal: Principal
	readonly reading: Reading
	readonly plan_id: string
	readonly request: ReadRequest
}

/** How a request is answered. */
interface Answer {
	readonly resolve: (response: Response) => void
	readonly reject: (thrown: unknown) => void
}

/** What lasts as long as the stream must not know the request. */
function deliver(asked: PlainRequest, answer: Answer): void {
	const { options, principal, plan_id } = asked
	let delivery: Delivery | null = null
	const stream = new SseStream(asked.context, options, {
		transport: 'sse',
		principal,
		client_id: asked.reading.client_id,
		plan_id,
		end: (reason) => delivery?.end(reason),
		delivered: () => delivery?.delivered ?? 0,
		left: () => {
			delivery?.[Symbol.dispose]()
			stream[Symbol.dispose]()
			answer.resolve(RESPONSE_ALREADY_SENT)
		},
	})
	const dialect: SseDialect = {
		name: 'sse',
		block: itemBlock,
		after: () => null,
		tell: (thrown, cursor) => {
			if (!stream.isOpen) {
				answer.reject(thrown)
				return
			}
			const problem = reported(typedError(thrown), options.onProblem, 'plans.events').toProblem()
			stream.send(itemBlock({ kind: 'frame', frame: { frame: 'problem', plan_id, cursor, ...problem } }))
		},
	}
	/** A comment shows life to everybody, the position also moves the cursor of who resumes. */
	const beat = (): string => {
		const cursor = delivery?.cursor ?? ''
		return HEARTBEAT_BLOCK + itemBlock({ kind: 'frame', frame: { frame: 'position', plan_id, cursor } })
	}
	const outlet = new SseOutlet(stream, dialect, beginOf(asked, answer, stream, beat))
	delivery = options.deliveries.deliver(principal, plan_id, asked.request, outlet)
}

function beginOf(
	{ options, context, request, reading }: PlainRequest,
	{ resolve }: Answer,
	stream: SseStream,
	beat: () => string,
): BeginSse {
	return (ready) => {
		const over = isOver(request, ready)
		if (over || context.req.method === 'HEAD') {
			resolve(over ? context.body(null, 204) : context.body(null, 200, SSE_HEADERS))
			stream[Symbol.dispose]()
			return false
		}
		// Taken from an answer without a body: a response once begun in the context would be sent beside the stream.
		const headers = { ...Object.fromEntries(context.body(null).headers), ...SSE_HEADERS }
		stream.open({ headers, block: openingBlock(options.random), beat, closeAfterMs: reading.closeAfterMs })
		resolve(RESPONSE_ALREADY_SENT)
		return true
	}
}

/** Whether a reader that wants no more than the plan's end has seen it: 204 is the standard way to stop an EventSource. */
function isOver({ follow, after }: ReadRequest, { recovered, plan_status, from_seq, head_seq }: ReadyFrame): boolean {
	if (follow === 'always' || !isFullCursor(after)) return false
	return recovered && plan_status !== 'unknown' && isFinished(plan_status) && from_seq > head_seq
}
