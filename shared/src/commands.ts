import * as z from 'zod'
import { EVENT_TYPES } from './event-types.js'
import { eventInput, planEvent } from './events.js'
import { json, jsonObject, type Wire } from './json.js'
import {
	count,
	MAX_STEPS,
	planId,
	planSpec,
	planSummary,
	qualityPolicy,
	readablePlanId,
	retryPolicy,
	review,
	stepId,
	stepSpec,
} from './plans.js'
import { PLAN_STATUSES } from './status.js'
import { TypeGroup, unionBy } from './type-group.js'

/** The inputs of clients. */
export const commandTypes = new TypeGroup('commands.ts', 'input')
/** The answers of the server. */
export const answerTypes = new TypeGroup('answers.ts', 'output')

/** Limits of publishing; see PROTOCOL.md section 7. */
export const MAX_PUBLISH_EVENTS = 256
export const MAX_LIST_PAGE = 1000
export const MAX_HISTORY_PAGE = 1000
export const MAX_WAIT_MS = 60_000

/** Largest `max_events_per_s`; without that option there is no limit. */
const MAX_PACE = 100_000

/** Longer than any cursor: a text that is cut here is not a cursor either way. */
const MAX_CURSOR = 256

const position = z
	.union([z.string().min(1).max(MAX_CURSOR), count])
	.transform(String)
	.describe('a cursor, a sequence number, "start" (the oldest retained event) or "now" (only new events)')

/** The input of a subscription to a plan on every transport. tRPC resumes with `lastEventId`, the others with `after`. */
export const subscribeInput = z.strictObject({
	plan_id: readablePlanId,
	after: position.default('start'),
	event_types: z.array(z.enum(EVENT_TYPES)).min(1).optional().describe('only events of these types; default: all'),
	step_id: stepId.optional().describe('only events of this step, without those of the plan itself'),
	snapshot: z.boolean().default(false).describe('include the state in `ready`; only with after "start" or "now"'),
	follow: z
		.enum(['until_done', 'always'])
		.default('until_done')
		.describe('until_done: end at the head of a finished plan; always: stay open for a retry'),
	max_events_per_s: z
		.int()
		.min(1)
		.max(MAX_PACE)
		.optional()
		.describe('maximum events per second; later events are delayed, not dropped; default: no limit'),
	lastEventId: z
		.string()
		.overwrite((text) => text.slice(0, MAX_CURSOR))
		.optional()
		.describe('the cursor of the last item seen; wins over `after`'),
})

const subscription = subscribeInput.omit({ lastEventId: true }).register(commandTypes, {
	id: 'SubscribeInput',
	doc: 'The plan to follow, the position to start after, and filters for its events.',
})

/** The options of every command. */
const terms = {
	idempotency_key: z
		.string()
		.regex(/^[A-Za-z0-9._:-]{1,124}$/, 'must be 1 to 124 letters, digits, ".", "_", ":" or "-"')
		.optional()
		.describe('repeating a command with the same key has no further effect and returns the same answer'),
	expected_revision: count.optional().describe('fail with `stale_revision` unless the graph is at this revision'),
}
const { idempotency_key } = terms

export const createInput = planSpec
	.extend({
		idempotency_key,
		start: z.boolean().default(true).describe('false: create only; plans.start runs it later'),
	})
	.register(commandTypes, { id: 'CreateInput', base: 'PlanSpec', doc: 'The plan to create.' })

export const planInput = z.strictObject({ plan_id: planId }).register(commandTypes, { id: 'PlanInput', doc: 'The id of a plan.' })

export const verifyInput = z
	.strictObject({
		plan_id: readablePlanId.describe('`system` checks only the store itself'),
	})
	.register(commandTypes, { id: 'VerifyInput', doc: 'The plan to check.' })

export const stepInput = planInput
	.extend({ step_id: stepId })
	.register(commandTypes, { id: 'StepInput', doc: 'The id of a step.' })

const reason = z.string().max(4096).optional()

export const commandInput = planInput
	.extend(terms)
	.register(commandTypes, { id: 'CommandInput', doc: 'The target of a command, and its options.' })

export const pauseInput = commandInput
	.extend({
		mode: z
			.enum(['drain', 'interrupt'])
			.default('drain')
			.describe('drain: running attempts finish; interrupt: running attempts are aborted'),
		reason,
	})
	.register(commandTypes, { id: 'PauseInput', base: 'CommandInput', doc: 'The plan to pause, and how.' })

export const cancelInput = commandInput
	.extend({ reason })
	.register(commandTypes, { id: 'CancelInput', base: 'CommandInput', doc: 'The plan to cancel, and the reason.' })

const { step_id: _id, depends_on: _dependencies, ...stepFields } = stepSpec.shape

/** The fields that `update_step` may change: all but the id and the dependencies. `retry` and `quality` are merged field by field. */
const stepPatch = z
	.strictObject({
		...optionalFields(stepFields),
		retry: z.strictObject(optionalFields(retryPolicy.shape)).optional(),
		quality: z.strictObject(optionalFields(qualityPolicy.shape)).nullable().optional(),
	})
	.refine((patch) => Object.keys(patch).length > 0, 'must change something')

type WithoutDefault<Schema> =
	Schema extends z.ZodDefault<infer Inner> ? Inner : Schema extends z.ZodPrefault<infer Inner> ? Inner : Schema
type OptionalFields<Shape extends z.ZodRawShape> = {
	[Key in keyof Shape]: WithoutDefault<Shape[Key]> extends z.ZodType ? z.ZodOptional<WithoutDefault<Shape[Key]>> : never
}

/** Removes the defaults of fields, so that an absent field means "unchanged". */
function optionalFields<Shape extends z.ZodRawShape>(shape: Shape): OptionalFields<Shape> {
	const fields = Object.entries(shape).map(([name, schema]) => {
		const plain = schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault ? schema.unwrap() : schema
		return [name, z.optional(plain)]
	})
	return Object.fromEntries(fields) as OptionalFields<Shape>
}

export const modifyOp = unionBy('op', [
	z.strictObject({
		op: z.literal('add_step'),
		step: stepSpec,
		after: stepId.optional().describe('the step to insert it after; default: the last one'),
	}),
	z.strictObject({ op: z.literal('remove_step'), step_id: stepId }),
	z.strictObject({ op: z.literal('update_step'), step_id: stepId, patch: stepPatch }),
	z.strictObject({ op: z.literal('set_dependencies'), step_id: stepId, depends_on: z.array(stepId).max(MAX_STEPS) }),
	z.strictObject({
		op: z.literal('reorder'),
		step_ids: z.array(stepId).min(1).max(MAX_STEPS).describe('every step that is not running, awaiting review or completed'),
	}),
]).register(commandTypes, { id: 'ModifyOp', doc: "One edit of a plan's graph." })

export const modifyInput = commandInput
	.extend({
		ops: z.array(modifyOp).min(1).max(MAX_STEPS).describe('applied in order and validated after the last one; all apply or none'),
	})
	.register(commandTypes, { id: 'ModifyInput', base: 'CommandInput', doc: 'The plan to modify, and the edits.' })

export const cloneInput = z
	.strictObject({
		plan_id: planId.describe('the plan to clone'),
		new_plan_id: planId.optional().describe('id of the new plan; generated by default'),
		start: z.boolean().default(true),
		idempotency_key,
	})
	.register(commandTypes, { id: 'CloneInput', doc: 'The plan to clone.' })

export const retryStepInput = commandInput
	.extend({
		step_id: stepId,
		cascade: z.boolean().default(false).describe('also run the steps again that used its result'),
	})
	.register(commandTypes, { id: 'RetryStepInput', base: 'CommandInput', doc: 'The step to run again.' })

export const skipStepInput = commandInput
	.extend({ step_id: stepId, reason })
	.register(commandTypes, { id: 'SkipStepInput', base: 'CommandInput', doc: 'The step to skip.' })

export const reviewInput = commandInput
	.extend({
		review_id: z.string().min(1).max(512),
		decision: z.enum(['approve', 'reject', 'edit']),
		comment: z.string().max(65_536).optional(),
		payload: jsonObject.optional().describe('with edit: the new result'),
	})
	.register(commandTypes, { id: 'ReviewInput', base: 'CommandInput', doc: 'The answer to a review.' })

const time = z.iso.datetime({ offset: true, error: 'must be an ISO 8601 time with a zone, such as 2026-01-31T12:00:00Z' })

const listFields = z.strictObject({
	status: z.array(z.enum(PLAN_STATUSES)).min(1).optional(),
	label: z
		.array(z.string().regex(/^[^=]{1,63}=.{0,255}$/s, 'must be name=value'))
		.min(1)
		.max(32)
		.optional()
		.describe('name=value; a plan must match all of them'),
	query: z.string().max(1024).optional().describe('text that the query must contain, ignoring case'),
	created_after: time.optional(),
	created_before: time.optional(),
	limit: z.int().min(1).max(MAX_LIST_PAGE).default(100),
	page: z.string().max(1024).optional().describe('`next_page` of the previous page'),
})

export const changesInput = listFields
	.pick({ status: true, label: true, limit: true })
	.prefault({})
	.register(commandTypes, { id: 'ChangesInput', doc: 'Filters for the list of plans to watch.' })

export const historyInput = z
	.strictObject({
		plan_id: readablePlanId,
		after: position.default('start'),
		limit: z.int().min(1).max(MAX_HISTORY_PAGE).default(MAX_HISTORY_PAGE),
		wait_ms: z
			.int()
			.min(0)
			.max(MAX_WAIT_MS)
			.default(0)
			.describe('milliseconds to wait for an event if there is none after `after`'),
	})
	.register(commandTypes, { id: 'HistoryInput', doc: "The page of a plan's events to return, and how long to wait for it." })

export const listInput = listFields
	.prefault({})
	.register(commandTypes, { id: 'ListInput', doc: 'Filters for the list of plans; an absent filter matches every plan.' })

export const publishInput = z
	.strictObject({
		plan_id: planId,
		events: z.array(eventInput).min(1).max(MAX_PUBLISH_EVENTS).describe('stored in this order; all or none'),
		expected_seq: count.optional().describe('fail with `conflict` unless this is the head of the log'),
	})
	.register(commandTypes, { id: 'PublishInput', doc: 'Events of an external plan.' })

const subscribeAction = subscription.extend({ action: z.literal('subscribe') }).register(commandTypes, {
	id: 'SubscribeAction',
	doc: 'Follows a plan on the plain WebSocket; replaces an earlier subscription to the same plan.',
})

const unsubscribeAction = z
	.strictObject({ action: z.literal('unsubscribe'), plan_id: readablePlanId })
	.register(commandTypes, { id: 'UnsubscribeAction', doc: 'Stops following a plan on the plain WebSocket.' })

const pingAction = z
	.strictObject({
		action: z.literal('ping'),
		timestamp: z
			.union([z.string().max(128), z.number()])
			.nullable()
			.default(null),
	})
	.register(commandTypes, { id: 'PingAction', doc: 'Requests a `pong` event with this timestamp in its data.' })

export const clientMessage = unionBy('action', [subscribeAction, unsubscribeAction, pingAction]).register(commandTypes, {
	id: 'ClientMessage',
	doc: 'A message of a client on the plain WebSocket.',
})

export const commandOutput = z
	.object({
		plan_id: planId,
		cursor: z.string().describe("cursor of the command's last event; subscribe after it to see the effects"),
		changed: z.boolean().describe('false: the command had no effect, for the plan was already in that state'),
		status: z.enum(PLAN_STATUSES),
		revision: count,
	})
	.register(answerTypes, { id: 'CommandOutput', doc: 'The answer to an accepted command. Its effects follow in the log.' })

export const verifyOutput = z
	.object({
		plan_id: readablePlanId,
		ok: z.boolean(),
		oldest_seq: count,
		head_seq: count,
		events: count.describe('number of compared events'),
		fault: z
			.object({
				seq: count.describe('the first event that cannot be trusted'),
				reason: z
					.enum(['changed', 'missing', 'unreadable', 'base', 'dropped', 'artifact'])
					.describe(
						'base: the record that replaces the trimmed events, up to `seq`; artifact: the events are intact, but a file of a step was changed or is gone; dropped: the plan is intact, but the store lost events of unknown plans when it was opened',
					),
				detail: z.string(),
			})
			.nullable(),
	})
	.register(answerTypes, { id: 'VerifyOutput', doc: 'The result of checking the stored events of a plan.' })

/** The answer to an import. */
export const importOutput = z.object({
	plan_id: planId,
	events: count,
	head_seq: count,
	cursor: z.string(),
	signed: z.boolean().describe('whether a trusted key has signed the archive'),
})

export const clearOutput = z
	.object({
		plan_id: planId,
		cleared: count.describe('number of dropped events'),
		cursor: z.string().describe('the head of the log; new events follow it'),
	})
	.register(answerTypes, { id: 'ClearOutput', doc: 'The answer after clearing the history of a plan; its state is kept.' })

export const planResultOutput = z
	.object({ plan_id: planId, result: json })
	.register(answerTypes, { id: 'PlanResultOutput', doc: 'The full result of a plan.' })

export const deleteOutput = z
	.object({ plan_id: planId, deleted: z.literal(true) })
	.register(answerTypes, { id: 'DeleteOutput', doc: 'The answer after deleting a plan.' })

export const stepResultOutput = z
	.object({ plan_id: planId, step_id: stepId, attempt: count, result: jsonObject })
	.register(answerTypes, { id: 'StepResultOutput', doc: 'The full result of a step.' })

export const reviewsOutput = z
	.object({
		plan_id: planId,
		reviews: z.array(
			review.extend({
				step_id: stepId,
				attempt: count,
				payload: json.describe('the result of the agent: data, checks, artifacts'),
			}),
		),
	})
	.register(answerTypes, { id: 'ReviewsOutput', doc: 'The open reviews of a plan.' })

export const changesOutput = z
	.object({
		reset: z.boolean().describe('true on the first item of each connection: `plans` replaces the whole list'),
		plans: z.array(planSummary).describe('new or changed, newest first'),
		removed: z.array(planId).describe('plans that are no longer among the newest that match'),
	})
	.register(answerTypes, {
		id: 'ChangesOutput',
		doc: 'A change in the list of plans. The first item on each connection is the whole list.',
	})

export const historyOutput = z
	.object({
		plan_id: readablePlanId,
		event_count: count.describe('number of events on this page'),
		events: z.array(planEvent),
		next_cursor: z.string().describe('`after` of the next page'),
		head_seq: count,
		finished: z.boolean().describe('true: the plan is done and this page reaches its last event'),
	})
	.register(answerTypes, { id: 'HistoryOutput', doc: "One page of a plan's events." })

export const subscribersOutput = z
	.object({
		plan_id: planId,
		subscriber_count: count.describe('number of open subscriptions; a connection may have several'),
	})
	.register(answerTypes, { id: 'SubscribersOutput', doc: 'The number of subscriptions to a plan.' })

const TRANSPORTS = ['trpc-websocket', 'trpc-sse', 'sse', 'websocket'] as const

export const clientsOutput = z
	.object({
		client_count: count,
		clients: z.array(z.string()).describe('ids of the connected clients, each once, however many connections it has'),
		connections: z.array(
			z.object({
				connection_id: z.string(),
				client_id: z.string(),
				transport: z.enum(TRANSPORTS),
				connected_at: z.string(),
				last_seen_at: z.string().describe('time of the last sign of life: data received, or sent data accepted'),
				subscribed_plans: z.array(z.string()),
				delivered: count.describe('number of events delivered since it connected'),
				lagging: z.boolean().describe('true: events arrive faster than the client reads'),
			}),
		),
	})
	.register(answerTypes, { id: 'ClientsOutput', doc: 'The connected clients.' })

export const listOutput = z
	.object({
		plans: z.array(planSummary).describe('newest first'),
		next_page: z.string().nullable(),
	})
	.register(answerTypes, { id: 'ListOutput', doc: 'One page of the plan list.' })

export const publishOutput = z
	.object({
		epoch: z.string(),
		cursor: z.string().describe("cursor of the batch's last event"),
		results: z.array(z.object({ event_id: z.string(), seq: count, duplicate: z.boolean() })),
	})
	.register(answerTypes, { id: 'PublishOutput', doc: 'The answer to published events, once they are durable.' })

export const agentsOutput = z
	.object({
		agents: z.array(
			z.object({
				agent_type: z.string(),
				input_schema: jsonObject.nullable().describe("JSON Schema of a step's `input`; null: any object"),
				result_schema: jsonObject.nullable().describe("JSON Schema of a step's result; null: any object"),
			}),
		),
	})
	.register(answerTypes, { id: 'AgentsOutput', doc: 'The agents of the server.' })

export type ModifyOp = z.output<typeof modifyOp>
export type SubscribeInput = z.input<typeof subscribeInput>
export type ParsedSubscribeInput = z.output<typeof subscribeInput>
export type HistoryInput = z.input<typeof historyInput>
export type HistoryOutput = Wire<z.output<typeof historyOutput>>
export type ClientMessage = z.output<typeof clientMessage>
export type ClientsOutput = Wire<z.output<typeof clientsOutput>>
export type SubscribersOutput = Wire<z.output<typeof subscribersOutput>>
export type ChangesOutput = Wire<z.output<typeof changesOutput>>
export type CreateInput = z.input<typeof createInput>
export type CommandOutput = Wire<z.output<typeof commandOutput>>
export type ListInput = NonNullable<z.input<typeof listInput>>
export type ListOutput = Wire<z.output<typeof listOutput>>
export type PublishInput = z.input<typeof publishInput>
export type PublishOutput = Wire<z.output<typeof publishOutput>>
export type DeleteOutput = Wire<z.output<typeof deleteOutput>>
export type VerifyOutput = Wire<z.output<typeof verifyOutput>>
export type ImportOutput = Wire<z.output<typeof importOutput>>
export type ClearOutput = Wire<z.output<typeof clearOutput>>
export type PlanResultOutput = Wire<z.output<typeof planResultOutput>>
export type StepResultOutput = Wire<z.output<typeof stepResultOutput>>
export type ReviewsOutput = Wire<z.output<typeof reviewsOutput>>
export type AgentsOutput = Wire<z.output<typeof agentsOutput>>
