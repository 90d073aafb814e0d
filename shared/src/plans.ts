import * as z from 'zod'
import { AGENT_TYPE_PATTERN, PLAN_ID_PATTERN, STEP_ID_PATTERN, SYSTEM_PLAN_ID } from './ids.js'
import { json, jsonObject, type Wire } from './json.js'
import { PLAN_OWNERS, PLAN_STATUSES, STEP_STATUSES } from './status.js'
import { TypeGroup } from './type-group.js'

/** Limits of one plan; see the table in PROTOCOL.md section 7. */
export const MAX_STEPS = 1000
export const MAX_DELAY_MS = 2_147_483_647
/** Artifacts of one step. */
export const MAX_ARTIFACTS = 100

/** Id of a plan that may be read, including the live-only `system`. */
export const readablePlanId = z.string().regex(PLAN_ID_PATTERN, 'must be 1 to 255 letters, digits, "_" or "-"')
export const planId = readablePlanId.refine((id) => id !== SYSTEM_PLAN_ID, 'is reserved for live-only events; choose another id')
/** Results are kept by step id, and `__proto__` is a key that no value from outside may have. */
export const stepId = z
	.string()
	.regex(STEP_ID_PATTERN, 'must be 1 to 255 letters, digits, "_" or "-"')
	.refine((id) => id !== '__proto__', 'must not be "__proto__"; choose another id')
export const fraction = z.number().min(0).max(1)
export const count = z.int().min(0)
/** Limit of numbers that grow with the events of a plan, of which it takes 1,000,000. */
const MAX_TALLY = 1_000_000
/** A number of steps, attempts or revisions. */
export const tally = z.int().min(0).max(MAX_TALLY)
export const attemptNumber = z.int().min(1).max(MAX_TALLY)

export const ON_FAILURE = ['fail', 'skip_dependents', 'continue'] as const

/** The types of plans from the server. */
export const planTypes = new TypeGroup('plans.ts', 'output', {
	unions: { PlanStatus: PLAN_STATUSES, StepStatus: STEP_STATUSES, PlanOwner: PLAN_OWNERS, OnFailure: ON_FAILURE },
})
/** The types of plans from clients. */
export const specTypes = new TypeGroup('specs.ts', 'input')

json.register(planTypes, { id: 'Json', doc: null })

const durationMs = z.int().min(1).max(MAX_DELAY_MS)
/** A name or sentence of a plan. */
export const text = z.string().max(65_536)
export const agentName = z.string().max(128)
export const dependencies = z.array(stepId).max(MAX_STEPS)
const labels = z
	.record(z.string().regex(/^[^=]{1,63}$/, 'must be 1 to 63 characters other than "="'), z.string().max(255))
	.refine((map) => Object.keys(map).length <= 32, 'must be at most 32 labels')

export const failure = z
	.looseObject({
		code: z.string().min(1).max(128),
		message: z.string().max(4096),
		retryable: z.boolean(),
	})
	.register(planTypes, { id: 'Failure', doc: 'The reason why a step or a plan failed.' })

export const usage = z
	.record(z.string().min(1).max(128), z.number())
	.describe('numbers by name, summed over an attempt: tokens, bytes read, money spent')
	.register(planTypes, { id: 'Usage', doc: null })

export const check = z
	.looseObject({
		name: z.string().min(1).max(128),
		score: fraction,
		passed: z.boolean(),
		evidence: json.optional(),
	})
	.register(planTypes, { id: 'Check', doc: 'One check of a quality gate.' })

export const artifact = z
	.looseObject({
		artifact_id: z.string().max(128).describe('sha256 of the content, in hex'),
		name: z.string().max(1024),
		media_type: z.string().max(255),
		bytes: count,
	})
	.register(planTypes, { id: 'Artifact', doc: 'A file made by a step.' })

export const OUTPUT_CHANNELS = ['text', 'log', 'data'] as const
export const outputChannel = z.enum(OUTPUT_CHANNELS)

export const actor = z
	.strictObject({ type: z.enum(['user', 'agent', 'system', 'api_key']), id: z.string().max(255) })
	.register(planTypes, { id: 'Actor', doc: 'The cause of an event; set by the server, never by a producer.' })

export const planOrigin = z
	.strictObject({
		imported_by: actor,
		imported_at: z.iso.datetime(),
		signed: z.boolean().describe('whether a key that the server trusts had signed the archive'),
	})
	.register(planTypes, { id: 'PlanOrigin', doc: 'The import that brought a plan to this server.' })

export const review = z
	.object({
		review_id: z.string(),
		reason: z.string(),
		options: z.array(z.string()),
		quality_score: fraction.nullable(),
		expires_at: z.string().nullable(),
	})
	.register(planTypes, { id: 'Review', doc: 'A question to a person that a step waits for.' })

const RETRY = 'When and how often a step is retried; durations in milliseconds.'
const GATE = 'The quality gate that the result of a step must pass.'

export const retryPolicy = z
	.strictObject({
		max_attempts: z.int().min(1).max(100).default(3).describe('number of failures after which the step fails permanently'),
		initial_ms: z.int().min(0).max(MAX_DELAY_MS).default(1000),
		factor: z.number().min(1).max(100).default(2),
		max_ms: z.int().min(0).max(MAX_DELAY_MS).default(30_000),
		jitter: z.boolean().default(true).describe('draw each delay uniformly between 0 and its computed value'),
		max_lost: z.int().min(0).max(1000).default(5).describe('number of workers that may be lost in a row without progress'),
	})
	.register(planTypes, { id: 'RetryPolicy', doc: RETRY })
	.register(specTypes, { id: 'RetrySpec', doc: RETRY })

export const qualityPolicy = z
	.strictObject({
		min_score: fraction.default(0.6),
		approve_score: fraction.default(0.85),
		dimensions: z
			.array(z.string().min(1).max(128))
			.max(64)
			.default([])
			.describe('checks that must be present and reach min_score'),
		require_review: z.boolean().default(false),
		on_reject: z.enum(['retry', 'fail', 'skip']).default('retry'),
		review: z
			.strictObject({
				expires_ms: durationMs.nullable().default(null),
				on_expiry: z.enum(['approve', 'reject', 'fail']).default('fail'),
			})
			.prefault({}),
	})
	.refine((gate) => gate.approve_score >= gate.min_score, {
		path: ['approve_score'],
		message: 'must not be less than min_score',
	})
	.register(planTypes, { id: 'QualityPolicy', doc: GATE })
	.register(specTypes, { id: 'QualitySpec', doc: GATE })

/** The specification of a step; absent fields take these defaults. */
export const stepSpec = z
	.strictObject({
		step_id: stepId,
		name: text.min(1).optional().describe('shown to people; default: the action'),
		action: text.min(1),
		agent_type: z.string().regex(AGENT_TYPE_PATTERN, 'must be 1 to 128 letters, digits, ".", "_" or "-"'),
		input: jsonObject.default({}),
		depends_on: dependencies.optional().describe('ids of steps that must be done first; default: the previous step; []: none'),
		timeout_ms: durationMs.nullable().default(null).describe('time limit for one attempt; null: none'),
		retry: retryPolicy.prefault({}),
		quality: qualityPolicy.nullable().default(null).describe('the quality gate; null: none'),
		on_failure: z
			.enum(ON_FAILURE)
			.default('fail')
			.describe('on permanent failure: fail the plan, skip the dependents, or continue with null as the result'),
	})
	.register(specTypes, { id: 'StepSpec', doc: 'The specification of a step.' })

/** The specification of a plan. */
export const planSpec = z
	.strictObject({
		plan_id: planId.optional().describe('generated by default; creating the same plan under the same id again has no effect'),
		query: text.min(1),
		research_type: z.string().min(1).max(255).default('comprehensive'),
		labels: labels.default({}),
		input: jsonObject.default({}),
		max_concurrency: z.int().min(1).max(MAX_STEPS).default(4).describe('number of steps that may run at once'),
		timeout_ms: durationMs.nullable().default(null).describe('time limit for the whole plan, including pauses; null: none'),
		metrics_interval_ms: z.int().min(100).max(MAX_DELAY_MS).nullable().default(null),
		steps: z.array(stepSpec).min(1).max(MAX_STEPS),
	})
	.register(specTypes, { id: 'PlanSpec', doc: 'The specification of a plan. Only `query` and `steps` are required.' })

export const normalisedStep = stepSpec
	.extend({
		name: text,
		depends_on: dependencies,
		implied: z.boolean().describe('true: the dependency on the previous step is the default'),
	})
	.register(planTypes, { id: 'NormalisedStep', doc: 'A step with every default filled in and its dependencies explicit.' })

/** The plan in `plan_created`, enough to rebuild everything from the log. */
export const normalisedPlan = planSpec
	.extend({ plan_id: planId, steps: z.array(normalisedStep).max(MAX_STEPS) })
	.register(planTypes, { id: 'NormalisedPlan', doc: 'A plan with every default filled in, as in `plan_created`.' })

export type RetryPolicy = Wire<z.output<typeof retryPolicy>>
export type QualityPolicy = Wire<z.output<typeof qualityPolicy>>
export type StepSpec = z.input<typeof stepSpec>
export type PlanSpec = z.input<typeof planSpec>
export type ParsedPlanSpec = z.output<typeof planSpec>
export type NormalisedStep = Wire<z.output<typeof normalisedStep>>
export type NormalisedPlan = Wire<z.output<typeof normalisedPlan>>

export const stepState = z
	.object({
		step_id: stepId,
		name: z.string(),
		action: z.string(),
		agent_type: z.string(),
		depends_on: z.array(stepId),
		status: z.enum(STEP_STATUSES),
		attempt: tally.describe('number of times the step has started'),
		failures: tally.describe('number of failures that count towards retry.max_attempts'),
		on_failure: z.enum(ON_FAILURE),
		progress: fraction,
		message: z.string().nullable(),
		started_at: z.string().nullable(),
		duration_ms: z.number().nullable(),
		quality_score: fraction.nullable(),
		result: json.optional().describe('the result, if it is small'),
		result_seq: count.optional().describe('sequence number of the event that holds the result, if it is large'),
		error: failure.nullable(),
		retry_at: z.string().nullable(),
		review: review.nullable(),
		artifacts: z.array(artifact),
		usage: usage.nullable(),
	})
	.register(planTypes, { id: 'StepState', doc: 'The state of a step.' })

export const planState = z
	.object({
		plan_id: readablePlanId,
		owner: z.enum(PLAN_OWNERS),
		status: z.enum(PLAN_STATUSES),
		revision: tally.describe('version of the graph, raised by plan_modified; 0 if the graph is unknown'),
		seq: count,
		cursor: z.string(),
		query: z.string(),
		research_type: z.string(),
		labels: z.record(z.string(), z.string()),
		created_at: z.string().nullable(),
		started_at: z.string().nullable(),
		finished_at: z.string().nullable(),
		error: failure.nullable(),
		result: json.describe('null until the plan completes'),
		result_seq: count.optional().describe('sequence number of the event that holds the result, if it is large'),
		quality_score: fraction.nullable(),
		progress: fraction.describe('completed and skipped steps and the parts of those under way, as a fraction of all'),
		steps: z.array(stepState),
		origin: planOrigin.optional().describe('in states from the server, if the plan was imported'),
	})
	.register(planTypes, { id: 'PlanState', doc: 'The state of a plan after its events up to `seq`.' })

export const planSummary = z
	.object({
		plan_id: planId,
		owner: z.enum(PLAN_OWNERS),
		status: z.enum(PLAN_STATUSES),
		finished: z.boolean(),
		query: z.string().describe('its first 256 characters; the state of the plan has the whole text'),
		labels: z.record(z.string(), z.string()),
		revision: count,
		progress: fraction.describe('as in the state, at most a few seconds old while steps run'),
		open_reviews: count.optional().describe('number of reviews that wait for an answer'),
		created_at: z.string(),
		started_at: z.string().nullable(),
		finished_at: z.string().nullable(),
		updated_at: z.string(),
		origin: planOrigin.optional().describe('if the plan was imported'),
	})
	.register(planTypes, { id: 'PlanSummary', doc: 'One entry in the list of plans.' })

export type Failure = Wire<z.output<typeof failure>>
export type Usage = Wire<z.output<typeof usage>>
export type Actor = Wire<z.output<typeof actor>>
export type PlanOrigin = Wire<z.output<typeof planOrigin>>
export type Check = Wire<z.output<typeof check>>
export type Artifact = Wire<z.output<typeof artifact>>
export type OutputChannel = (typeof OUTPUT_CHANNELS)[number]
export type Review = Wire<z.output<typeof review>>
export type StepState = Wire<z.output<typeof stepState>>
export type PlanState = Wire<z.output<typeof planState>>
export type PlanSummary = Wire<z.output<typeof planSummary>>
