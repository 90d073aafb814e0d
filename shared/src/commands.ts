import * as z from 'zod'
import { EVENT_TYPES } from './event-types.js'
import { eventInput } from './events.js'
import { count, planId, planSpec, planSummary, stepId } from './plans.js'
import { PLAN_STATUSES } from './status.js'
import type { Wire } from './wire.js'

/** Limits of publishing; see PROTOCOL.md section 7. */
export const MAX_PUBLISH_EVENTS = 256
export const MAX_LIST_PAGE = 1000

const position = z
	.union([z.string().min(1).max(256), count])
	.transform(String)
	.describe('a cursor, a sequence number, "start" (the oldest retained event) or "now" (only what is new)')

/** What every transport takes to subscribe to a plan. */
export const subscribeInput = z.strictObject({
	plan_id: planId,
	after: position.default('start'),
	event_types: z.array(z.enum(EVENT_TYPES)).min(1).optional().describe('only these; absent: all'),
	step_id: stepId.optional().describe('only events of this step; hides the events of the plan itself'),
	snapshot: z.boolean().default(false).describe('put the state into `ready`; with after "start" or "now" only'),
	follow: z
		.enum(['until_done', 'always'])
		.default('until_done')
		.describe('until_done ends at the head of a finished plan; always stays for a retry'),
	lastEventId: z.string().max(256).optional().describe('the cursor of the last item seen; wins over `after`'),
})

export const createInput = planSpec.extend({
	start: z.boolean().default(true).describe('false: create only; plans.start runs it later'),
})

export const planInput = z.strictObject({ plan_id: planId })

/** The answer to a command: it is accepted, see the log from here. */
export const commandOutput = z.object({
	plan_id: planId,
	cursor: z.string().describe("the cursor of the command's last event; subscribe after it to see what follows"),
	changed: z.boolean().describe('false: the plan was already there'),
	status: z.enum(PLAN_STATUSES),
	revision: count,
})

export const listInput = z.strictObject({
	status: z.array(z.enum(PLAN_STATUSES)).min(1).optional(),
	label: z
		.array(z.string().regex(/^[^=]{1,63}=.{0,255}$/s, 'must be name=value'))
		.max(32)
		.optional()
		.describe('name=value; all must match'),
	query: z.string().max(1024).optional().describe('text the query contains, ignoring case'),
	created_after: z.iso.datetime({ offset: true }).optional(),
	created_before: z.iso.datetime({ offset: true }).optional(),
	limit: z.int().min(1).max(MAX_LIST_PAGE).default(100),
	page: z.string().max(1024).optional().describe('`next_page` of the page before'),
})

export const listOutput = z.object({
	plans: z.array(planSummary).describe('newest first'),
	next_page: z.string().nullable(),
})

export const publishInput = z.strictObject({
	plan_id: planId,
	events: z.array(eventInput).min(1).max(MAX_PUBLISH_EVENTS).describe('all or nothing, in this order'),
	expected_seq: count.optional().describe('refuse with `conflict` unless the head of the log is here'),
})

export const publishOutput = z.object({
	epoch: z.string(),
	cursor: z.string().describe("the cursor of the batch's last event"),
	results: z.array(z.object({ event_id: z.string(), seq: count, duplicate: z.boolean() })),
})

export const agentsOutput = z.object({ agents: z.array(z.object({ agent_type: z.string() })) })

export type SubscribeInput = z.input<typeof subscribeInput>
export type ParsedSubscribeInput = z.output<typeof subscribeInput>
export type CreateInput = z.input<typeof createInput>
export type CommandOutput = Wire<z.output<typeof commandOutput>>
export type ListInput = z.input<typeof listInput>
export type ListOutput = Wire<z.output<typeof listOutput>>
export type PublishInput = z.input<typeof publishInput>
export type PublishOutput = Wire<z.output<typeof publishOutput>>
export type AgentsOutput = Wire<z.output<typeof agentsOutput>>
