import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import { contract } from '@planstream/shared/schemas'
import { typedError } from '../api/errors.js'
import { listQuery } from '../api/list-plans.js'
import { assertAllowed, reported } from '../api/procedure.js'
import { queryParameters, readQuery } from '../api/query.js'
import { dataBlock, HEARTBEAT_BLOCK, itemBlock, openingBlock } from './sse-frames.js'
import { READING, readReading } from './sse-input.js'
import { SSE_HEADERS, type SseOptions } from './sse-options.js'
import { type SseContent, type SseContext, SseStream } from './sse-stream.js'

const { input: schema } = contract['plans.changes']
const PARAMETERS = new Map([...queryParameters(schema, []), ...READING])

/** The live list of plans: a message an item, without ids, because a reader that comes again begins with a new page. */
export async function answerChanges(options: SseOptions, context: SseContext): Promise<Response> {
	const { hub, contextOf, schedule, random, onProblem } = options
	const { principal } = contextOf(context)
	assertAllowed(principal, 'plans.changes')
	const { client_id, close_after_ms, ...input } = readQuery(new URL(context.req.url).search, PARAMETERS)
	const parsed = schema.safeParse(input)
	if (!parsed.success) throw typedError(parsed.error, { procedure: 'plans.changes', input })
	const query = listQuery(parsed.data)
	const { client_id: named, closeAfterMs } = readReading(client_id, close_after_ms)
	if (context.req.method === 'HEAD') return context.body(null, 200, SSE_HEADERS)

	const over = new AbortController()
	const end = (): void => over.abort()
	const content: SseContent = { plan_id: null, delivered: 0, end, left: end, beat: () => HEARTBEAT_BLOCK }
	using stream = new SseStream(context, options, { transport: 'sse', principal, client_id: named }, content)
	const headers = { ...Object.fromEntries(context.body(null).headers), ...SSE_HEADERS }
	stream.open({ headers, block: openingBlock(random), closeAfterMs })
	try {
		for await (const change of hub.changes(principal, query, { signal: over.signal, schedule })) {
			using turn = await stream.turn(over.signal)
			if (turn === null) break
			stream.send(dataBlock(JSON.stringify(change)))
		}
	} catch (thrown) {
		const problem = reported(typedError(thrown), onProblem, 'plans.changes').toProblem()
		stream.send(itemBlock({ kind: 'frame', frame: { frame: 'problem', plan_id: null, cursor: null, ...problem } }))
	}
	return RESPONSE_ALREADY_SENT
}
