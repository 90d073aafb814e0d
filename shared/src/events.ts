import * as z from 'zod'
import { EVENT_TYPES, type EventType } from './event-types.js'
import { COMMAND_ID_PREFIX, EVENT_ID_PATTERN } from './ids.js'
import { json, jsonObject, type Wire } from './json.js'
import {
	actor,
	agentName,
	artifact,
	attemptNumber,
	check,
	count,
	dependencies,
	failure,
	fraction,
	MAX_ARTIFACTS,
	MAX_STEPS,
	normalisedPlan,
	normalisedStep,
	OUTPUT_CHANNELS,
	outputChannel,
	planId,
	stepId,
	tally,
	text,
	usage,
} from './plans.js'
import { TypeGroup, unionBy } from './type-group.js'
import { pascal } from './typescript.js'

const ISO = /^(\d{4})-(\d\d)-(\d\d)(T\d\d:\d\d)(:\d\d)?(\.\d{1,9})?(Z|[+-]\d\d:?\d\d)?$/

/** Converts an ISO 8601 time to `YYYY-MM-DDTHH:MM:SS.mmmZ`. The default zone is UTC, and digits after the millisecond are cut off. */
export function toUtcMillis(text: string): string | null {
	const [, year, month, day, minutes, seconds = ':00', parts = '', zone = 'Z'] = ISO.exec(text) ?? []
	if (minutes === undefined || !isDay(Number(year), Number(month), Number(day))) return null
	const time = new Date(`${year}-${month}-${day}${minutes}${seconds}${parts.slice(0, 4)}${zone}`)
	return Number.isNaN(time.getTime()) ? null : time.toISOString()
}

/** Checks that the calendar has this day, since `Date` reads 30 February as 2 March. */
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

/** The types of events from the server. */
export const eventTypes = new TypeGroup('events.ts', 'output', {
	unions: { EventType: EVENT_TYPES, OutputChannel: OUTPUT_CHANNELS },
	envelopes: { EventEnvelope: { of: 'PlanEvent', doc: 'The fields of every event.' } },
})
/** The types of events from producers. */
export const eventInputTypes = new TypeGroup('event-inputs.ts', 'input', {
	envelopes: { EventInputEnvelope: { of: 'EventInput', doc: 'The fields of every event of a producer.' } },
})

/** A string that only the size of its event bounds; `text` has a bound of its own. */
const freeText = z.string()
const durationMs = z.number().min(0)
const ids = dependencies

/**
 * The data of every event type. Objects are loose, so that extra fields of a producer are kept. Fields that an external producer may not
 * know are optional; for its own plans the server always sets them.
 */
export const eventData = {
	plan_created: z.looseObject({ spec: normalisedPlan, total_steps: tally }),
	plan_started: z.looseObject({ query: text, total_steps: tally, research_type: text.default('comprehensive') }),
	plan_completed: z.looseObject({
		status: z.literal('completed').default('completed'),
		total_steps: tally.optional(),
		completed_steps: tally.optional(),
		skipped_steps: tally.optional(),
		failed_steps: tally.optional(),
		result: json.default(null),
		quality_score: fraction.nullable().default(null),
		duration_ms: durationMs.optional(),
	}),
	plan_failed: z.looseObject({ error: failure, failed_step_ids: ids.default([]), duration_ms: durationMs.optional() }),
	plan_pausing: z.looseObject({ mode: z.enum(['drain', 'interrupt']), reason: text.optional(), running_step_ids: ids }),
	plan_paused: z.looseObject({
		mode: z.enum(['drain', 'interrupt']).default('drain'),
		reason: freeText.optional(),
		running_step_ids: ids.default([]),
	}),
	plan_resumed: z.looseObject({ reason: z.enum(['manual', 'retry']).default('manual'), paused_ms: durationMs.optional() }),
	plan_cancelling: z.looseObject({
		reason: text.optional(),
		running_step_ids: ids,
		timed_out: z.boolean().default(false).describe("true: the plan's timeout is the cause, and the plan ends as failed"),
	}),
	plan_cancelled: z.looseObject({ reason: freeText.optional(), duration_ms: durationMs.optional() }),
	plan_modified: z.looseObject({
		from_revision: tally,
		revision: tally,
		ops: z.array(jsonObject),
		steps: z.array(normalisedStep).max(MAX_STEPS).describe('all steps after the change'),
	}),
	step_started: z.looseObject({
		step_number: tally.min(1).optional().describe('1-based position in the plan'),
		name: text.optional(),
		action: text.optional(),
		agent_type: agentName.optional(),
		attempt: attemptNumber.optional(),
		max_attempts: attemptNumber.optional(),
		depends_on: dependencies.optional(),
		worker_id: text.max(255).optional(),
		timeout_ms: durationMs.nullable().optional(),
	}),
	step_progress: z.looseObject({
		progress: fraction,
		message: freeText.default(''),
		current: z.number().optional(),
		total: z.number().optional(),
		unit: freeText.optional(),
	}),
	step_output: z.looseObject({
		channel: outputChannel.default('text'),
		delta: freeText.optional().describe('text to append; excludes `value`'),
		value: json.optional().describe('excludes `delta`; an event as published has one of them'),
		index: count.optional().describe('0-based per attempt and channel'),
		level: freeText.optional(),
	}),
	step_completed: z.looseObject({
		status: z.literal('success').default('success'),
		agent_type: agentName.optional(),
		quality_score: fraction.nullable().default(null),
		data: jsonObject.default({}).describe('the result of the step'),
		progress: z.literal(1).default(1),
		duration_ms: durationMs.optional(),
		artifacts: z.array(artifact).max(MAX_ARTIFACTS).default([]),
		usage: usage.optional(),
	}),
	step_failed: z.looseObject({ error: failure, attempt: tally.optional(), duration_ms: durationMs.optional() }),
	step_retrying: z.looseObject({
		reason: z.enum(['error', 'timeout', 'worker_lost', 'shutdown', 'quality', 'manual', 'paused']),
		next_attempt: attemptNumber.optional(),
		delay_ms: durationMs.default(0),
		error: failure.optional(),
	}),
	step_skipped: z.looseObject({ reason: freeText, cause_step_id: stepId.optional() }),
	step_cancelled: z.looseObject({ reason: freeText, cause_step_id: stepId.optional() }),
	quality_check: z.looseObject({
		quality_score: fraction.nullable(),
		decision: z.enum(['approved', 'rejected', 'review_required', 'retry_suggested']),
		passed: z.boolean(),
		min_score: fraction.optional(),
		approve_score: fraction.optional(),
		checks: z.array(check).default([]),
		reasons: z.array(freeText).default([]),
	}),
	review_required: z.looseObject({
		review_id: freeText.min(1).max(128),
		reason: freeText,
		quality_score: fraction.nullable().optional(),
		options: z.array(freeText.max(1024)).max(100).default([]),
		payload: json.default(null),
		expires_at: freeText.max(64).nullable().default(null),
	}),
	review_resolved: z.looseObject({
		review_id: freeText.min(1).max(128),
		decision: z.enum(['approve', 'reject', 'edit', 'expired']),
		comment: freeText.optional(),
		payload: json.optional(),
	}),
	metrics_update: z
		.record(z.string().min(1).max(255), z.number())
		.describe('numbers by name; `window_ms` is the period they cover'),
	health_update: z.looseObject({ component: freeText, status: z.enum(['ok', 'degraded', 'down']), detail: freeText.optional() }),
	error: z.looseObject({ code: freeText.min(1).max(128), message: freeText, fatal: z.boolean().default(false) }),
	ping: jsonObject,
	pong: jsonObject,
} as const satisfies Record<EventType, z.ZodType>

const eventId = z
	.string()
	.regex(EVENT_ID_PATTERN, 'must be 1 to 128 letters, digits, ".", "_", ":" or "-"')
	.refine(
		(id) => !id.startsWith(COMMAND_ID_PREFIX),
		`must not start with "${COMMAND_ID_PREFIX}", which is reserved for the server`,
	)

const command = z.strictObject({ name: z.string(), digest: z.string(), events: tally.min(1) })

type EventData = typeof eventData
type StepIdSchema = z.ZodType<string> | z.ZodType<string | null, string | null | undefined>

/** The names of a type's fields, without the index signature of a loose object. */
type FieldOf<T> = keyof { [Key in keyof T as string extends Key ? never : Key]: T[Key] } & string

function define<Type extends EventType, Step extends StepIdSchema>(event_type: Type, step_id: Step) {
	const data: EventData[Type] = eventData[event_type]
	const shared = { event_type: z.literal(event_type), step_id, data, attempt: attemptNumber.optional() }
	return {
		event_type,
		input: z.strictObject({
			event_id: eventId.optional().describe('idempotency key of publishing; by default a UUID v7'),
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
			cursor: z.string().describe('resumes after this event'),
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
 * Makes the function that defines stored event types of a plan, of a step, or of either.
 *
 * `meaning` is one sentence for the protocol and the SDK. `parameters` are the data fields that the SDK's method takes as separate
 * arguments; it takes the other fields as one object, and the whole data if the list is empty.
 */
const defineRowsWith =
	<Step extends StepIdSchema>(step_id: Step) =>
	<Type extends EventType>(type: Type, meaning: string, parameters: readonly FieldOf<z.input<EventData[Type]>>[]) => ({
		...define(type, step_id),
		meaning,
		parameters,
	})
const noStep = z.null().default(null)
const plan = defineRowsWith(noStep)
const step = defineRowsWith(stepId)
const either = defineRowsWith(stepId.nullable().default(null))

const stored = [
	plan('plan_created', 'The plan as it will run, with every default filled in.', ['spec', 'total_steps']),
	plan('plan_started', 'The plan started.', ['query', 'total_steps']),
	plan('plan_completed', 'The plan completed; nothing follows.', ['result']),
	plan('plan_failed', 'The plan failed, because a required step did.', ['error']),
	plan('plan_pausing', 'The plan starts no more steps; some still run.', ['mode', 'running_step_ids']),
	plan('plan_paused', 'The plan is paused; no step runs.', ['reason']),
	plan('plan_resumed', 'The plan runs again.', ['reason']),
	plan('plan_cancelling', 'The plan is being cancelled; some steps still run.', ['running_step_ids', 'reason']),
	plan('plan_cancelled', 'The plan was cancelled.', ['reason']),
	plan('plan_modified', 'The graph of the plan was changed.', []),
	step('step_started', 'An attempt of the step begins.', ['name']),
	step('step_progress', 'The progress of the attempt.', ['progress', 'message']),
	step('step_output', 'Text or a value that the step outputs while it runs.', ['delta']),
	step('step_completed', 'The step completed with a result.', ['data']),
	step('step_failed', 'The step failed and will not be retried.', ['error']),
	step('step_retrying', 'The step will run again, after a delay.', ['reason']),
	step('step_skipped', 'The step will not run; its dependents continue without it.', ['reason']),
	step('step_cancelled', 'The step was cancelled and will not run.', ['reason']),
	either('quality_check', "The decision of the step's quality gate.", ['quality_score', 'decision', 'passed']),
	either('review_required', 'The result waits for a person to review it.', ['review_id', 'reason']),
	either('review_resolved', 'The review was answered.', ['review_id', 'decision']),
	either('metrics_update', 'Metrics, as numbers by name.', []),
	either('health_update', 'The health of a component.', ['component', 'status', 'detail']),
	either('error', 'An error worth showing to users.', ['code', 'message']),
] as const
const live = [define('ping', noStep), define('pong', noStep)] as const

/** Event types missing from both lists; the compiler reports them here. */
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

/** The description of a stored event type, for the documents and the SDK. */
export interface StoredType {
	readonly event_type: EventType
	readonly meaning: string
	/** Data fields that the SDK's method takes as separate arguments. */
	readonly parameters: readonly string[]
	readonly step_id: z.ZodType
	readonly data: z.ZodType
}

export const storedTypes: readonly StoredType[] = stored.map(({ event_type, meaning, parameters, input }) => {
	return { event_type, meaning, parameters, step_id: input.shape.step_id, data: eventData[event_type] }
})

/** The server fills in absent fields and refuses fields that only it may set. */
export const eventInput = unionBy('event_type', inputs)
	.superRefine((event, context) => {
		if (event.event_type !== 'step_output') return
		const { delta, value } = event.data
		if ((delta === undefined) === (value === undefined)) {
			context.addIssue({ code: 'custom', path: ['data'], message: 'needs either delta, to append text, or value, and not both' })
		}
	})
	.register(eventInputTypes, { id: 'EventInput', doc: 'An event as a producer sends it; the server fills in absent fields.' })

/** An event as the log stores it: without `seq` and `cursor`, which are assigned on append. */
export const storedEvent = unionBy('event_type', recorded)

export const planEvent = unionBy('event_type', events).register(eventTypes, {
	id: 'PlanEvent',
	doc: 'An event as every transport delivers it; `event_type` names its type.',
})

export type CommandMark = Wire<z.output<typeof command>>
/** An event as a producer may write it. */
export type EventInput = z.input<typeof eventInput>
/** A producer's event with the defaults of the schema filled in. */
export type ParsedEvent = Wire<z.output<typeof eventInput>>
export type PlanEvent = Wire<z.output<typeof planEvent>>
export type EventOf<Type extends EventType> = Extract<PlanEvent, { event_type: Type }>
