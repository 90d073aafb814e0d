import type { HttpBindings } from '@hono/node-server'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import {
	escapeLineEnds,
	isFinished,
	isFullCursor,
	type ParsedSubscribeInput,
	PlanstreamError,
	parsePosition,
	type ReadyFrame,
} from '@planstream/shared'
import { contract } from '@planstream/shared/schemas'
import { Hono, type Context as HonoContext } from 'hono'
import { toTypedError } from '../../api/errors.js'
import { readClientId, toReadRequest } from '../../api/input.js'
import { assertAllowed, type Context, type OnProblem, reportFailures } from '../../api/procedure.js'
import { toListQuery } from '../../api/reads.js'
import { listPathFields, listQueryParameters, readQuery, toHonoPath } from '../../api/rest.js'
import { createListBudget, passOn } from '../../api/streams.js'
import type { Fanout } from '../../delivery/fanout.js'
import type { Hub } from '../../hub/hub.js'
import type { ReadOptions } from '../../hub/reader.js'
import { encodeItem, type StreamItem } from '../../hub/stream.js'
import { type SseBeginning, type SseDialect, SsePlanStream } from './plan-stream.js'
import { SSE_HEADERS, type SseContent, type SseContext, type SsePeer, SseStream, type SseStreamOptions } from './stream.js'

/** Milliseconds before a client reconnects. Each gets a random delay, so that a restart does not bring all of them at once. */
const RETRY_MIN_MS = 1000
const RETRY_SPREAD_MS = 4000

/** Builds the first block of every stream: a comment, which makes proxies forward the headers, and the reconnect delay. */
function buildOpeningBlock(random: () => number): string {
	return `: planstream\nretry: ${RETRY_MIN_MS + Math.floor(random() * RETRY_SPREAD_MS)}\n\n`
}

/**
 * Encodes one item. Plan events have no `event:` line, so that one `onmessage` handler receives them all. The id is where an
 * EventSource resumes; a problem has none and does not move it.
 */
function encodeItemBlock(item: StreamItem): string {
	const data = encodeDataBlock(encodeItem(item))
	if (item.kind === 'event') return `id: ${item.stored.cursor}\n${data}`
	const { frame, cursor } = item.frame
	return frame === 'problem' ? `event: problem\n${data}` : `event: ${frame}\nid: ${cursor}\n${data}`
}

/** Encodes JSON as the one line of a block, for readers that split lines as Unicode does, too. */
function encodeDataBlock(json: string): string {
	return `data: ${escapeLineEnds(json)}\n\n`
}

/** A comment that keeps proxies from closing the connection; clients ignore it. */
const HEARTBEAT_BLOCK = ': heartbeat\n\n'

const ROUTE = contract['plans.events']

/** Parameters that say how to read, not what. */
const READ_OPTIONS = [['client_id', 'text'] as const, ['close_after_ms', 'number'] as const]

/** `last_event_id` is for clients that cannot set headers; `lastEventId` is what polyfills of EventSource send instead of one. */
const EVENTS_PARAMETERS = new Map([
	...listQueryParameters(ROUTE.input, [...listPathFields(ROUTE), 'lastEventId']),
	['last_event_id', 'text'] as const,
	['lastEventId', 'text'] as const,
	...READ_OPTIONS,
])

interface SseRequest {
	readonly plan_id: string
	/** The query string with its question mark. */
	readonly search: string
	/** The header `Last-Event-ID`. */
	readonly lastEventId: string | undefined
}

interface SseSubscription {
	readonly input: ParsedSubscribeInput
	readonly reading: SseReadOptions
}

interface SseReadOptions {
	readonly client_id: string | undefined
	/** Ends the response after this time, for proxies that buffer it until it ends. */
	readonly closeAfterMs: number | undefined
}

/** @throws PlanstreamError `bad_request` with the `path` of the parameter */
function parseReadOptions(client_id: unknown, close_after_ms: unknown): SseReadOptions {
	const named = readClientId(client_id as string | undefined)
	if (close_after_ms === undefined) return { client_id: named, closeAfterMs: undefined }
	if (Number.isInteger(close_after_ms) && Number(close_after_ms) >= 0 && Number(close_after_ms) <= MAX_CLOSE_AFTER_MS) {
		return { client_id: named, closeAfterMs: Number(close_after_ms) }
	}
	const message = `close_after_ms is "${String(close_after_ms)}". Send a whole number of milliseconds from 0 to ${MAX_CLOSE_AFTER_MS}, or omit it.`
	throw new PlanstreamError('bad_request', message, { path: 'close_after_ms' })
}

/**
 * Reads a subscription from a request. The header `Last-Event-ID` wins over `lastEventId`, that over `last_event_id`, and that over
 * `after`.
 *
 * @throws PlanstreamError `bad_request` with the `path` of the parameter
 */
function readSubscription({ plan_id, search, lastEventId: header }: SseRequest): SseSubscription {
	const { last_event_id, lastEventId, client_id, close_after_ms, ...query } = readQuery(search, EVENTS_PARAMETERS)
	const sent = header || (lastEventId as string | undefined)
	const resumed = sent?.slice(0, MAX_CURSOR) || checkCursor(last_event_id)
	const input = { ...query, plan_id, ...(resumed !== undefined && { lastEventId: resumed }) }
	const parsed = ROUTE.input.safeParse(input)
	if (parsed.success) return { input: parsed.data, reading: parseReadOptions(client_id, close_after_ms) }
	throw toTypedError(parsed.error, { procedure: 'plans.events', input })
}

const MAX_CLOSE_AFTER_MS = 60_000

/** Longer than any cursor. A header that is cut here is not a cursor either way. */
const MAX_CURSOR = 256

function checkCursor(text: unknown): string | undefined {
	if (typeof text !== 'string') return undefined
	const position = parsePosition(text)
	if (position !== null && typeof position === 'object') return text
	const message = `last_event_id is "${text.slice(0, MAX_CURSOR)}", which is not a cursor. Send the id of the last event unchanged.`
	throw new PlanstreamError('bad_request', message, { path: 'last_event_id' })
}

const HEADERS = { ...SSE_HEADERS, 'content-type': 'text/event-stream; charset=utf-8' }

export interface SseOptions extends SseStreamOptions {
	readonly hub: Hub
	readonly fanout: Fanout
	readonly getContext: (context: HonoContext) => Context
	/** Returns a number from 0 up to 1. */
	readonly random: () => number
	readonly onProblem: OnProblem
}

const { input: schema } = contract['plans.changes']
const CHANGES_PARAMETERS = new Map([...listQueryParameters(schema, []), ...READ_OPTIONS])

/** Streams the live list of plans. Its messages have no id: a reader that reconnects starts with a new page. */
async function answerChanges(options: SseOptions, context: SseContext): Promise<Response> {
	const { hub, getContext, schedule, answers, random, onProblem } = options
	const { principal } = getContext(context)
	assertAllowed(principal, 'plans.changes')
	const { client_id, close_after_ms, ...input } = readQuery(new URL(context.req.url).search, CHANGES_PARAMETERS)
	const parsed = schema.safeParse(input)
	if (!parsed.success) throw toTypedError(parsed.error, { procedure: 'plans.changes', input })
	const query = toListQuery(parsed.data)
	const { client_id: named, closeAfterMs } = parseReadOptions(client_id, close_after_ms)
	if (context.req.method === 'HEAD') return context.body(null, 200, HEADERS)

	const over = new AbortController()
	const end = (): void => over.abort()
	const content: SseContent = { plan_id: null, delivered: 0, end, stop: end, heartbeat: () => HEARTBEAT_BLOCK }
	using stream = new SseStream(context, options, { transport: 'sse', principal, client_id: named }, content)
	stream.open(context, { headers: HEADERS, block: buildOpeningBlock(random), closeAfterMs })
	const budget = createListBudget(answers, principal.tenant, parsed.data.limit)
	try {
		await passOn(hub.changes(principal, query, { signal: over.signal, schedule, budget }), async (change) => {
			stream.send(encodeDataBlock(JSON.stringify(change)))
			return stream.waitForRoom(over.signal)
		})
	} catch (thrown) {
		const problem = reportFailures(toTypedError(thrown), onProblem, 'plans.changes').toProblem()
		stream.send(encodeItemBlock({ kind: 'frame', frame: { frame: 'problem', plan_id: null, cursor: null, ...problem } }))
	}
	return RESPONSE_ALREADY_SENT
}

/** Serves a plan's events and the live list of plans to `curl`, a browser's EventSource and every other SSE client. */
export function sseRoutes(options: SseOptions): Hono<{ Bindings: HttpBindings }> {
	const app = new Hono<{ Bindings: HttpBindings }>({ strict: false })
	const dialect = createPlainDialect(options.onProblem)
	app.get(toHonoPath(ROUTE.rest.path), (context) => answerEvents(options, dialect, context))
	app.get(toHonoPath(contract['plans.changes'].rest.path), (context) => answerChanges(options, context))
	return app
}

function createPlainDialect(onProblem: OnProblem): SseDialect {
	return {
		name: 'sse',
		encode: encodeItemBlock,
		/** The comment keeps the connection open; the position also moves the cursor of a reader that resumes. */
		heartbeat: (plan_id, cursor) =>
			HEARTBEAT_BLOCK + encodeItemBlock({ kind: 'frame', frame: { frame: 'position', plan_id, cursor } }),
		encodeEnd: () => null,
		encodeFailure: (thrown, plan_id, cursor) => {
			const problem = reportFailures(toTypedError(thrown), onProblem, 'plans.events').toProblem()
			return encodeItemBlock({ kind: 'frame', frame: { frame: 'problem', plan_id, cursor, ...problem } })
		},
	}
}

/**
 * Starts the delivery of a plan's events. The response waits for the first frame, which decides whether the reader is at the
 * end.
 */
function answerEvents(options: SseOptions, dialect: SseDialect, context: SseContext): Promise<Response> {
	const { principal } = options.getContext(context)
	assertAllowed(principal, 'plans.events')
	const plan_id = context.req.param('plan_id') ?? ''
	const search = new URL(context.req.url).search
	const { input, reading } = readSubscription({ plan_id, search, lastEventId: context.req.header('last-event-id') })
	const request = toReadRequest(input)
	const peer: SsePeer = { transport: 'sse', principal, client_id: reading.client_id }
	return new Promise((resolve, reject) => {
		const beginning: SseBeginning = {
			begin: (stream, ready) => {
				const response = hasSeenEnd(request, ready) ? context.body(null, 204) : beginEvents(options, context, stream, reading)
				resolve(response)
				if (response === RESPONSE_ALREADY_SENT) return true
				stream[Symbol.dispose]()
				return false
			},
			onReaderGone: () => resolve(RESPONSE_ALREADY_SENT),
			onFailure: reject,
		}
		const target = new SsePlanStream(context, { stream: options, dialect, peer, plan_id, beginning })
		target.deliver(options.fanout, principal, request)
	})
}

/** Opens the stream, or answers HEAD with its headers only. */
function beginEvents({ random }: SseOptions, context: SseContext, stream: SseStream, { closeAfterMs }: SseReadOptions): Response {
	if (context.req.method === 'HEAD') return context.body(null, 200, HEADERS)
	stream.open(context, { headers: HEADERS, block: buildOpeningBlock(random), closeAfterMs })
	return RESPONSE_ALREADY_SENT
}

/** Whether a reader that follows until the plan ends has seen that end. Then 204 stops an EventSource for good. */
function hasSeenEnd({ follow, after }: ReadOptions, { recovered, plan_status, from_seq, head_seq }: ReadyFrame): boolean {
	if (follow === 'always' || !isFullCursor(after)) return false
	return recovered && plan_status !== 'unknown' && isFinished(plan_status) && from_seq > head_seq
}
