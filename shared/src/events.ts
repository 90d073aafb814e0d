import * as z from 'zod'
import type { EventType } from './event-types.js'
import { COMMAND_ID_PREFIX, EVENT_ID_PATTERN } from './ids.js'
import { json, jsonObject, type Wire } from './json.js'
import {
	artifact,
	check,
	count,
	failure,
	fraction,
	MAX_STEPS,
	normalisedPlan,
	normalisedStep,
	outputChannel,
	planId,
	stepId,
	usage,
} from './plans.js'

const ISO = /^(\d{4})-(\d\d)-(\d\d)(T\d\d:\d\d)(:\d\d)?(\.\d{1,9})?(Z|[+-]\d\d:?\d\d)?$/

/** Any ISO 8601 time as `YYYY-MM-DDTHH:MM:SS.mmmZ`; without a zone it is UTC, digits behind the millisecond are cut off. */
export function toUtcMillis(text: string): string | null {
	const [, year, month, day, minutes, seconds = ':00', parts = '', zone = 'Z'] = ISO.exec(text) ?? []
	if (minutes === undefined || !isDay(Number(year), Number(month), Number(day))) return null
	const time = new Date(`${year}-${month}-${day}${minutes}${seconds}${parts.slice(0, 4)}${zone}`)
	return Number.isNaN(time.getTime()) ? null : time.toISOString()
}

/** Whether the calendar has this day: `Date` takes 30 February for 2 March. */
function isDay(year: number, month: number, day: number): boolean {
	return day >= 1 && day <= new Date(Date.UTC(year, month, 0)).getUTCDate()
}

/** A producer's timestamp. */
export const sentTime = z
	.string()
	.max(64)
	.transform((text, context) => {
		const utc = toUtcMillis(text)
		if (utc !== null) return utc
		context.addIssue({ code: 'custom', message: 'must be an ISO 8601 time such as 2026-01-31T12:00:00.000Z' })
		return z.NEVER
	})

const text = z.string()
const durationMs = z.number().min(0)
const ids = z.array(stepId)

/**
 * The data of every event type. Objects are loose: a producer's extra fields are kept. Optional is what a
 * producer elsewhere may not know; this server always fills it in.
 */
export const eventData = {
	plan_created: z.looseObject({ spec: normalisedPlan, total_steps: count }),
	plan_started: z.looseObject({ query: text, total_steps: count, research_type: text.default('comprehensive') }),
	plan_completed: z.looseObject({
		status: z.literal('completed').default('completed'),
		total_steps: count.optional(),
		completed_steps: count.optional(),
		skipped_steps: count.optional(),
		failed_steps: count.optional(),
		result: json.default(null),
		quality_score: fraction.nullable().default(null),
		duration_ms: durationMs.optional(),
	}),
	plan_failed: z.looseObject({ error: failure, failed_step_ids: ids.default([]), duration_ms: durationMs.optional() }),
	plan_pausing: z.looseObject({ mode: z.enum(['drain', 'interrupt']), reason: text.optional(), running_step_ids: ids }),
	plan_paused: z.looseObject({
		mode: z.enum(['drain', 'interrupt']).default('drain'),
		reason: text.optional(),
		running_step_ids: ids.default([]),
	}),
	plan_resumed: z.looseObject({ reason: z.enum(['manual', 'retry']).default('manual'), paused_ms: durationMs.optional() }),
	plan_cancelling: z.looseObject({
		reason: text.optional(),
		running_step_ids: ids,
		timed_out: z.boolean().default(false).describe("the plan's own timeout is the cause: it ends as failed"),
	}),
	plan_cancelled: z.looseObject({ reason: text.optional(), duration_ms: durationMs.optional() }),
	plan_modified: z.looseObject({
		from_revision: count,
		revision: count,
		ops: z.array(jsonObject),
		steps: z.array(normalisedStep).max(MAX_STEPS).describe('all steps, after the change'),
	}),
	step_started: z.looseObject({
		step_number: z.int().min(1).optional().describe('1-based place in the plan'),
		name: text.optional(),
		action: text.optional(),
		agent_type: text.optional(),
		attempt: z.int().min(1).optional(),
		max_attempts: z.int().min(1).optional(),
		depends_on: ids.optional(),
		worker_id: text.optional(),
		timeout_ms: durationMs.nullable().optional(),
	}),
	step_progress: z.looseObject({
		progress: fraction,
		message: text.default(''),
		current: z.number().optional(),
		total: z.number().optional(),
		unit: text.optional(),
	}),
	step_output: z.looseObject({
		channel: outputChannel.default('text'),
		delta: text.optional().describe('text to append; never together with `value`'),
		value: json.optional(),
		index: count.optional().describe('0-based per attempt and channel'),
		level: text.optional(),
	}),
	step_completed: z.looseObject({
		status: z.literal('success').default('success'),
		agent_type: text.optional(),
		quality_score: fraction.nullable().default(null),
		data: jsonObject.default({}).describe('the result of the step'),
		progress: z.literal(1).default(1),
		duration_ms: durationMs.optional(),
		artifacts: z.array(artifact).default([]),
		usage: usage.optional(),
	}),
	step_failed: z.looseObject({ error: failure, attempt: count.optional(), duration_ms: durationMs.optional() }),
	step_retrying: z.looseObject({
		reason: z.enum(['error', 'timeout', 'worker_lost', 'shutdown', 'quality', 'manual', 'paused']),
		next_attempt: z.int().min(1).optional(),
		delay_ms: durationMs.default(0),
		error: failure.optional(),
	}),
	step_skipped: z.looseObject({ reason: text, cause_step_id: stepId.optional() }),
	step_cancelled: z.looseObject({ reason: text, cause_step_id: stepId.optional() }),
	quality_check: z.looseObject({
		quality_score: fraction.nullable(),
		decision: z.enum(['approved', 'rejected', 'review_required', 'retry_suggested']),
		passed: z.boolean(),
		min_score: fraction.optional(),
		approve_score: fraction.optional(),
		checks: z.array(check).default([]),
		reasons: z.array(text).default([]),
	}),
	review_required: z.looseObject({
		review_id: text.min(1).max(128),
		reason: text,
		quality_score: fraction.nullable().optional(),
		options: z.array(text).default([]),
		payload: json.default(null),
		expires_at: text.nullable().default(null),
	}),
	review_resolved: z.looseObject({
		review_id: text.min(1).max(128),
		decision: z.enum(['approve', 'reject', 'edit', 'expired']),
		comment: text.optional(),
		payload: json.optional(),
	}),
	metrics_update: z
		.record(z.string().min(1).max(255), z.number())
		.describe('numbers by name; `window_ms` is the time they cover'),
	health_update: z.looseObject({ component: text, status: z.enum(['ok', 'degraded', 'down']), detail: text.optional() }),
	error: z.looseObject({ code: text.min(1).max(128), message: text, fatal: z.boolean().default(false) }),
	ping: jsonObject,
	pong: jsonObject,
} as const satisfies Record<EventType, z.ZodType>

const eventId = z
	.string()
	.regex(EVENT_ID_PATTERN, 'must be 1 to 128 letters, digits, ".", "_", ":" or "-"')
	.refine((id) => !id.startsWith(COMMAND_ID_PREFIX), `must not start with "${COMMAND_ID_PREFIX}", which is the server's`)

/** Who caused an event; set by the server, never by a producer. */
export const actor = z.strictObject({ type: z.enum(['user', 'agent', 'system', 'api_key']), id: z.string().max(255) })
const command = z.strictObject({ name: z.string(), digest: z.string(), events: z.int().min(1) })

type EventData = typeof eventData
type StepIdSchema = z.ZodType<string> | z.ZodType<string | null, string | null | undefined>

function define<Type extends EventType, Step extends StepIdSchema>(event_type: Type, step_id: Step) {
	const data: EventData[Type] = eventData[event_type]
	const shared = { event_type: z.literal(event_type), step_id, data, attempt: z.int().min(1).optional() }
	return {
		input: z.strictObject({
			event_id: eventId.optional().describe('idempotency key of publishing; a uuid v7 when absent'),
			plan_id: planId.optional(),
			timestamp: sentTime.optional(),
			...shared,
		}),
		record: z.strictObject({
			event_id: z.string().regex(EVENT_ID_PATTERN, 'must be 1 to 128 letters, digits, ".", "_", ":" or "-"'),
			plan_id: planId,
			timestamp: z.iso.datetime(),
			...shared,
			actor: actor.optional(),
			command: command.optional(),
		}),
		event: z.object({
			seq: z.int().min(1),
			cursor: z.string().describe('resume behind this event'),
			event_id: z.string(),
			plan_id: z.string(),
			timestamp: z.string(),
			...shared,
			actor: actor.optional(),
			command: command.optional(),
		}),
	}
}

const plan = <Type extends EventType>(type: Type) => define(type, z.null().default(null))
const step = <Type extends EventType>(type: Type) => define(type, stepId)
const either = <Type extends EventType>(type: Type) => define(type, stepId.nullable().default(null))

const stored = [
	plan('plan_created'),
	plan('plan_started'),
	plan('plan_completed'),
	plan('plan_failed'),
	plan('plan_pausing'),
	plan('plan_paused'),
	plan('plan_resumed'),
	plan('plan_cancelling'),
	plan('plan_cancelled'),
	plan('plan_modified'),
	step('step_started'),
	step('step_progress'),
	step('step_output'),
	step('step_completed'),
	step('step_failed'),
	step('step_retrying'),
	step('step_skipped'),
	step('step_cancelled'),
	either('quality_check'),
	either('review_required'),
	either('review_resolved'),
	either('metrics_update'),
	either('health_update'),
	either('error'),
] as const
const live = [plan('ping'), plan('pong')] as const

type Side<List extends readonly { input: unknown; record: unknown; event: unknown }[], Name extends keyof List[number]> = {
	[Index in keyof List]: List[Index][Name]
}
const inputs = stored.map((type) => type.input) as unknown as Side<typeof stored, 'input'>
const recorded = stored.map((type) => type.record) as unknown as Side<typeof stored, 'record'>
const events = [...stored, ...live].map((type) => type.event) as unknown as [
	...Side<typeof stored, 'event'>,
	...Side<typeof live, 'event'>,
]

/** An event as a producer sends it. The server fills in what is absent and refuses what only it may set. */
export const eventInput = z.discriminatedUnion('event_type', inputs)

/** An event as the log stores it: without `seq` and `cursor`, which only the append knows. */
export const storedEvent = z.discriminatedUnion('event_type', recorded)

/** An event as every transport delivers it. */
export const planEvent = z.discriminatedUnion('event_type', events)

export type Actor = Wire<z.output<typeof actor>>
export type CommandMark = Wire<z.output<typeof command>>
/** What a producer may write. */
export type EventInput = z.input<typeof eventInput>
/** The same after the schema has filled in its defaults. */
export type ParsedEvent = Wire<z.output<typeof eventInput>>
export type PlanEvent = Wire<z.output<typeof planEvent>>
export type EventOf<Type extends EventType> = Extract<PlanEvent, { event_type: Type }>
