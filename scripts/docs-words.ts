/** One row of the table of limits: the words for a number that stands in the code. */
export interface Limit {
	readonly what: string
	/** Where the number stands, from the root of the repository. */
	readonly file: string
	/** The constant or field that holds it. */
	readonly name: string
	readonly unit: 'bytes' | 'ms' | (string & {})
	/** What happens beyond it. */
	readonly beyond: string
}

const REFUSED = '`too_large`'

/** Every limit a user may meet. */
export const LIMITS: readonly Limit[] = [
	{
		what: 'steps of a plan',
		file: 'shared/src/plans.ts',
		name: 'MAX_STEPS',
		unit: 'steps',
		beyond: '`bad_request`, `plan_full` for a publish',
	},
	{ what: 'body of a request', file: 'server/src/api/input.ts', name: 'MAX_BODY_BYTES', unit: 'bytes', beyond: REFUSED },
	{ what: 'depth of a body', file: 'server/src/api/input.ts', name: 'MAX_DEPTH', unit: 'levels', beyond: '`bad_request`' },
	{
		what: 'calls in a tRPC batch',
		file: 'server/src/transports/trpc-errors.ts',
		name: 'MAX_BATCH_CALLS',
		unit: 'calls',
		beyond: '`bad_request`',
	},
	{
		what: 'frame from a tRPC WebSocket client',
		file: 'server/src/transports/websocket/trpc.ts',
		name: 'MAX_FRAME_BYTES',
		unit: 'bytes',
		beyond: 'closed with 1009',
	},
	{
		what: 'frame from a client of the plain WebSocket',
		file: 'server/src/transports/websocket/plain.ts',
		name: 'MAX_MESSAGE_BYTES',
		unit: 'bytes',
		beyond: 'closed with 1009',
	},
	{
		what: 'frames in a row that make no sense, on the plain WebSocket',
		file: 'server/src/transports/websocket/plain.ts',
		name: 'MAX_FAULTS',
		unit: 'frames',
		beyond: 'the last of them closes with 4400',
	},
	{
		what: 'calls of one WebSocket that are worked on at one time',
		file: 'server/src/transports/websocket/trpc.ts',
		name: 'MAX_CALLS',
		unit: 'calls',
		beyond: 'the rest waits, and nothing more is read',
	},
	{
		what: 'events in a publish',
		file: 'shared/src/commands.ts',
		name: 'MAX_PUBLISH_EVENTS',
		unit: 'events',
		beyond: '`bad_request`',
	},
	{ what: 'one event', file: 'server/src/hub/writer.ts', name: 'MAX_EVENT_BYTES', unit: 'bytes', beyond: REFUSED },
	{
		what: 'events that hold a plan or name its steps',
		file: 'server/src/hub/writer.ts',
		name: 'MAX_LARGE_EVENT_BYTES',
		unit: 'bytes',
		beyond: REFUSED,
	},
	{
		what: 'events of a plan that is not finished',
		file: 'server/src/hub/publish-rules.ts',
		name: 'MAX_PLAN_EVENTS',
		unit: 'events',
		beyond: '`plan_full` for published events; a step that reports progress or output fails with it',
	},
	{
		what: 'events that a finished plan keeps',
		file: 'server/src/embed/retention.ts',
		name: 'FINISHED_EVENTS',
		unit: 'events',
		beyond: 'the oldest are trimmed',
	},
	{
		what: 'time a finished plan is kept',
		file: 'server/src/embed/retention.ts',
		name: 'FINISHED_DAYS',
		unit: 'days',
		beyond: 'it is removed',
	},
	{
		what: 'time without an event of a plan that is run elsewhere',
		file: 'server/src/embed/retention.ts',
		name: 'SILENT_DAYS',
		unit: 'days',
		beyond: 'it is kept like a finished one from then on',
	},
	{
		what: 'result of a step',
		file: 'server/src/plans/attempt-checks.ts',
		name: 'MAX_RESULT_BYTES',
		unit: 'bytes',
		beyond: 'the step fails with `too_large`',
	},
	{
		what: 'a result inside the state of a plan',
		file: 'shared/src/plan-state.ts',
		name: 'MAX_INLINE_RESULT',
		unit: 'bytes',
		beyond: '`result_seq` names its event',
	},
	{
		what: 'all results inside the state of a plan',
		file: 'shared/src/plan-state.ts',
		name: 'MAX_INLINE_RESULTS',
		unit: 'bytes',
		beyond: '`result_seq` names the event of each further one',
	},
	{
		what: 'one line of an archive',
		file: 'server/src/api/archives.ts',
		name: 'MAX_LINE_BYTES',
		unit: 'bytes',
		beyond: REFUSED,
	},
	{
		what: 'one artifact',
		file: 'server/src/plans/artifacts.ts',
		name: 'MAX_ARTIFACT_BYTES',
		unit: 'bytes',
		beyond: 'the agent gets `too_large`',
	},
	{
		what: 'output of an attempt that waits for the log',
		file: 'server/src/plans/reports.ts',
		name: 'OUTPUT_LIMIT',
		unit: 'bytes',
		beyond: 'the attempt fails with `too_large`',
	},
	{
		what: 'plans on a page of the list',
		file: 'shared/src/commands.ts',
		name: 'MAX_LIST_PAGE',
		unit: 'plans',
		beyond: '`bad_request`',
	},
	{
		what: 'events on a page of the history',
		file: 'shared/src/commands.ts',
		name: 'MAX_HISTORY_PAGE',
		unit: 'events',
		beyond: '`bad_request`',
	},
	{
		what: 'wait for a page of the history',
		file: 'shared/src/commands.ts',
		name: 'MAX_WAIT_MS',
		unit: 'ms',
		beyond: '`bad_request`',
	},
	{
		what: 'connections that carry streams (`MAX_WEBSOCKET_CLIENTS`)',
		file: 'server/src/embed/planstream.ts',
		name: 'maxConnections',
		unit: 'connections',
		beyond: '`too_many_connections`',
	},
	{
		what: 'subscriptions on one connection',
		file: 'server/src/connections/connections.ts',
		name: 'MAX_STREAMS',
		unit: 'subscriptions',
		beyond: '`bad_request`',
	},
	{
		what: 'bytes that wait in a connection, besides the item that crosses the limit',
		file: 'server/src/connections/connections.ts',
		name: 'sendBufferBytes',
		unit: 'bytes',
		beyond: 'the stream reads on from the log when there is room',
	},
	{
		what: 'time a reader may take nothing of what waits for it',
		file: 'server/src/connections/connections.ts',
		name: 'stallTimeoutMs',
		unit: 'ms',
		beyond: '`end` with the reason `slow`, then 4308; cut after as long again; the reader may resume',
	},
	{
		what: 'time between two signs of life of a stream',
		file: 'server/src/connections/connections.ts',
		name: 'heartbeatMs',
		unit: 'ms',
		beyond: '',
	},
	{
		what: 'time between two items of the live list of plans, at least',
		file: 'server/src/hub/subscribe.ts',
		name: 'CHANGES_INTERVAL_MS',
		unit: 'ms',
		beyond: 'changes in between become one item',
	},
	{
		what: 'time between two pings of a WebSocket (`WEBSOCKET_PING_INTERVAL`)',
		file: 'server/src/connections/connections.ts',
		name: 'pingIntervalMs',
		unit: 'ms',
		beyond: '',
	},
	{
		what: 'time to answer a ping',
		file: 'server/src/connections/connections.ts',
		name: 'pongTimeoutMs',
		unit: 'ms',
		beyond: 'the WebSocket is closed',
	},
	{
		what: 'time to send the headers of a request',
		file: 'server/src/embed/http.ts',
		name: 'HEADERS_TIMEOUT_MS',
		unit: 'ms',
		beyond: 'the connection is closed',
	},
	{
		what: 'events that wait for an event handler',
		file: 'server/src/hub/handlers.ts',
		name: 'QUEUE_LIMIT',
		unit: 'events',
		beyond: 'the handler misses events, which is logged',
	},
	{
		what: 'time a WebSocket that announces its key has to send it',
		file: 'server/src/connections/connections.ts',
		name: 'credentialsTimeoutMs',
		unit: 'ms',
		beyond: 'closed with 4401',
	},
	{
		what: 'keys in a file of keys',
		file: 'server/src/auth/keys.ts',
		name: 'MAX_KEYS',
		unit: 'keys',
		beyond: '`bad_request`',
	},
]
