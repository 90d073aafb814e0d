import * as z from 'zod'
import { EVENT_TYPES, type EventType } from './event-types.js'
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
	OUTPUT_CHANNELS,
	outputChannel,
	planId,
	stepId,
	usage,
} from './plans.js'
import { TypeGroup } from './type-group.js'
import { pascal } from './typescript.js'

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

/** Events as the server gives them. */
export const eventTypes = new TypeGroup('events.ts', 'output', {
	unions: { EventType: EVENT_TYPES, OutputChannel: OUTPUT_CHANNELS },
	envelopes: { EventEnvelope: { of: 'PlanEvent', doc: 'What every event has, whatever its type.' } },
})
/** Events as producers send them. */
export const eventInputTypes = new TypeGroup('event-inputs.ts', 'input', {
	envelopes: { EventInputEnvelope: { of: 'EventInput', doc: 'What every event of a producer may have, whatever its type.' } },
})

export const actor = z
	.strictObject({ type: z.enum(['user', 'agent', 'system', 'api_key']), id: z.string().max(255) })
	.register(eventTypes, { id: 'Actor', doc: 'Who caused an event; set by the server, never by a producer.' })

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

const command = z.strictObject({ name: z.string(), digest: z.string(), events: z.int().min(1) })

type EventData = typeof eventData
type StepIdSchema = z.ZodType<string> | z.ZodType<string | null, string | null | undefined>

/** Names of the fields of a type, without the open end of a loose object. */
type FieldOf<T> = keyof { [Key in keyof T as string extends Key ? never : Key]: T[Key] } & string

function define<Type extends EventType, Step extends StepIdSchema>(event_type: Type, step_id: Step) {
	const data: EventData[Type] = eventData[event_type]
	const shared = { event_type: z.literal(event_type), step_id, data, attempt: z.int().min(1).optional() }
	return {
		event_type,
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

/**
 * Makes the function that defines a stored type of event, of a plan, of a step or of either.
 *
 * `meaning` is one sentence for the protocol and the SDK. `parameters` are the fields of the data that the SDK's method
 * takes one by one; it takes the other fields as one object, and the whole data where none is named.
 */
const rowsWith =
	<Step extends StepIdSchema>(step_id: Step) =>
	<Type extends EventType>(type: Type, meaning: string, parameters: readonly FieldOf<z.input<EventData[Type]>>[]) => ({
		...define(type, step_id),
		meaning,
		parameters,
	})
const noStep = z.null().default(null)
const plan = rowsWith(noStep)
const step = rowsWith(stepId)
const either = rowsWith(stepId.nullable().default(null))

const stored = [
	plan('plan_created', 'The plan as it will run, with every default filled in.', ['spec', 'total_steps']),
	plan('plan_started', 'The plan runs.', ['query', 'total_steps']),
	plan('plan_completed', 'The plan has come to its end; nothing follows.', ['result']),
	plan('plan_failed', 'A required step failed for good.', ['error']),
	plan('plan_pausing', 'The plan starts no more steps; some still run.', ['mode', 'running_step_ids']),
	plan('plan_paused', 'Nothing of the plan runs.', ['reason']),
	plan('plan_resumed', 'The plan runs again.', ['reason']),
	plan('plan_cancelling', 'The plan is being cancelled; some steps still run.', ['running_step_ids', 'reason']),
	plan('plan_cancelled', 'The plan was cancelled.', ['reason']),
	plan('plan_modified', 'The graph of the plan was changed.', []),
	step('step_started', 'An attempt of the step begins.', ['name']),
	step('step_progress', 'How much of the attempt is done.', ['progress', 'message']),
	step('step_output', 'Text or a value the step gives while it runs.', ['delta']),
	step('step_completed', 'The step has its result.', ['data']),
	step('step_failed', 'The step failed for good.', ['error']),
	step('step_retrying', 'The step will run again, after a delay.', ['reason']),
	step('step_skipped', 'The step will not run; its dependents go on without it.', ['reason']),
	step('step_cancelled', 'The step will not run any more.', ['reason']),
	either('quality_check', 'What the gate of the step decided.', ['quality_score', 'decision', 'passed']),
	either('review_required', 'The result is held back for a person to look at.', ['review_id', 'reason']),
	either('review_resolved', 'The review was answered.', ['review_id', 'decision']),
	either('metrics_update', 'Numbers by name.', []),
	either('health_update', 'How a component is.', ['component', 'status', 'detail']),
	either('error', 'Something went wrong that is worth showing.', ['code', 'message']),
] as const
const live = [define('ping', noStep), define('pong', noStep)] as const

/** Types that are in neither list; the compiler names them here. */
const unlisted: readonly Exclude<EventType, (typeof stored | typeof live)[number]['event_type']>[] = []
unlisted satisfies readonly never[]

type Side<List extends readonly { input: unknown; record: unknown; event: unknown }[], Name extends keyof List[number]> = {
	[Index in keyof List]: List[Index][Name]
}
const inputs = stored.map((type) => type.input) as unknown as Side<typeof stored, 'input'>
const recorded = stored.map((type) => type.record) as unknown as Side<typeof stored, 'record'>
const events = [...stored, ...live].map((type) => type.event) as unknown as [
	...Side<typeof stored, 'event'>,
	...Side<typeof live, 'event'>,
]

for (const { event_type } of stored) {
	eventTypes.add(eventData[event_type], { id: `${pascal(event_type)}Data`, doc: `The data of a \`${event_type}\` event.` })
}
for (const { event_type, event } of [...stored, ...live]) {
	const doc = `A \`${event_type}\` event.`
	eventTypes.add(event, { id: `${pascal(event_type)}Event`, doc, base: 'EventEnvelope' })
}
for (const { event_type, input } of stored) {
	const doc = `A \`${event_type}\` event as a producer sends it.`
	eventInputTypes.add(input, { id: `${pascal(event_type)}EventInput`, doc, base: 'EventInputEnvelope' })
}

/** A stored type of event, as the documents and the SDK describe it. */
export interface StoredType {
	readonly event_type: EventType
	readonly meaning: string
	/** Fields of the data that the SDK's method takes one by one. */
	readonly parameters: readonly string[]
	readonly step_id: z.ZodType
	readonly data: z.ZodType
}

export const storedTypes: readonly StoredType[] = stored.map(({ event_type, meaning, parameters, input }) => {
	return { event_type, meaning, parameters, step_id: input.shape.step_id, data: eventData[event_type] }
})

/** The server fills in what is absent and refuses what only it may set. */
export const eventInput = z
	.discriminatedUnion('event_type', inputs)
	.register(eventInputTypes, { id: 'EventInput', doc: 'An event as a producer sends it; the server fills in what is absent.' })

/** An event as the log stores it: without `seq` and `cursor`, which only the append knows. */
export const storedEvent = z.discriminatedUnion('event_type', recorded)

export const planEvent = z
	.discriminatedUnion('event_type', events)
	.register(eventTypes, { id: 'PlanEvent', doc: 'An event as every transport delivers it; `event_type` tells which.' })

export type Actor = Wire<z.output<typeof actor>>
export type CommandMark = Wire<z.output<typeof command>>
/** What a producer may write. */
export type EventInput = z.input<typeof eventInput>
/** The same after the schema has filled in its defaults. */
export type ParsedEvent = Wire<z.output<typeof eventInput>>
export type PlanEvent = Wire<z.output<typeof planEvent>>
export type EventOf<Type extends EventType> = Extract<PlanEvent, { event_type: Type }>
