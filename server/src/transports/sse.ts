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
import { answerChanges } from './sse-changes.js'
import { HEARTBEAT_BLOCK, itemBlock, openingBlock } from './sse-frames.js'
import { type Reading, readSubscription } from './sse-input.js'
import { SSE_HEADERS, type SseOptions } from './sse-options.js'
import { type SseDialect, SseOutlet } from './sse-outlet.js'
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
		let delivery: Delivery | null = null
		const stream = new SseStream(context, options, {
			transport: 'sse',
			principal,
			client_id: reading.client_id,
			plan_id,
			end: (reason) => delivery?.end(reason),
			delivered: () => delivery?.delivered ?? 0,
			left: () => {
				delivery?.[Symbol.dispose]()
				stream[Symbol.dispose]()
				resolve(RESPONSE_ALREADY_SENT)
			},
		})
		const cursor = (): string => delivery?.cursor ?? ''
		const outlet = new SseOutlet(
			stream,
			plainDialect({ options, context, stream, request, reading, plan_id, cursor, resolve, reject }),
		)
		delivery = options.deliveries.deliver(principal, plan_id, request, outlet)
	})
}

interface PlainStream {
	readonly options: SseOptions
	readonly context: SseContext
	readonly stream: SseStream
	readonly request: ReadRequest
	readonly reading: Reading
	readonly plan_id: string
	/** Where the reader resumes. */
	readonly cursor: () => string
	readonly resolve: (response: Response) => void
	readonly reject: (thrown: unknown) => void
}

function plainDialect({ options, context, stream, request, reading, plan_id, cursor, resolve, reject }: PlainStream): SseDialect {
	let hasBegun = false
	/** A comment shows life to everybody, the position also moves the cursor of who resumes. */
	const beat = (): string =>
		HEARTBEAT_BLOCK + itemBlock({ kind: 'frame', frame: { frame: 'position', plan_id, cursor: cursor() } })
	return {
		name: 'sse',
		block: itemBlock,
		begin: (ready) => {
			const isAsked = context.req.method === 'HEAD'
			if (isAsked || isOver(request, ready)) {
				resolve(isOver(request, ready) ? context.body(null, 204) : context.body(null, 200, SSE_HEADERS))
				stream[Symbol.dispose]()
				return false
			}
			hasBegun = true
			// Taken from an answer without a body: a response once begun in the context would be sent beside the stream.
			const headers = { ...Object.fromEntries(context.body(null).headers), ...SSE_HEADERS }
			stream.open({ headers, block: openingBlock(options.random), beat, closeAfterMs: reading.closeAfterMs })
			resolve(RESPONSE_ALREADY_SENT)
			return true
		},
		after: () => null,
		tell: (thrown, behind) => {
			if (!hasBegun) {
				reject(thrown)
				return
			}
			const problem = reported(typedError(thrown), options.onProblem, 'plans.events').toProblem()
			stream.send(itemBlock({ kind: 'frame', frame: { frame: 'problem', plan_id, cursor: behind, ...problem } }))
		},
	}
}

/** Whether a reader that wants no more than the plan's end has seen it: 204 is the standard way to stop an EventSource. */
function isOver({ follow, after }: ReadRequest, { recovered, plan_status, from_seq, head_seq }: ReadyFrame): boolean {
	if (follow === 'always' || !isFullCursor(after)) return false
	return recovered && plan_status !== 'unknown' && isFinished(plan_status) && from_seq > head_seq
}
