import type { PlanEvent } from './events.js'
import type { NormalisedStep, StepState } from './plans.js'

type DeclaredStep = Pick<NormalisedStep, 'step_id' | 'name' | 'action' | 'agent_type' | 'depends_on' | 'on_failure'>

/** A step nothing has happened to yet. */
export function pendingStep(step: DeclaredStep): StepState {
	const { step_id, name, action, agent_type, depends_on, on_failure } = step
	const declared = { step_id, name, action, agent_type, depends_on, on_failure }
	return { ...declared, status: 'pending', attempt: 0, failures: 0, ...UNTOUCHED, retry_at: null }
}

const UNTOUCHED = {
	progress: 0,
	message: null,
	started_at: null,
	duration_ms: null,
	quality_score: null,
	error: null,
	review: null,
	artifacts: [],
	usage: null,
} satisfies Partial<StepState>

/**
 * The step after an event that names it.
 *
 * @param hasRoom - whether a result this event brings may stand in the state
 */
export function applyToStep(step: StepState, event: PlanEvent, hasRoom: () => boolean): StepState {
	switch (event.event_type) {
		case 'step_started': {
			const { name = step.name, action = step.action, agent_type = step.agent_type } = event.data
			const depends_on = keptWhenEqual(step.depends_on, event.data.depends_on)
			const attempt = event.attempt ?? event.data.attempt ?? step.attempt + 1
			const declared = { name, action, agent_type, depends_on, attempt }
			return { ...withoutResult(step), ...UNTOUCHED, ...declared, status: 'running', started_at: event.timestamp, retry_at: null }
		}
		case 'step_progress': {
			const { progress, message } = event.data
			return { ...step, progress: Math.max(step.progress, progress), message: message === '' ? step.message : message }
		}
		case 'step_completed': {
			const { data, quality_score, duration_ms = null, artifacts, usage = null } = event.data
			const result = hasRoom() ? { result: data } : { result_seq: event.seq }
			const ended = { quality_score, duration_ms, artifacts, usage, progress: 1, error: null, review: null, retry_at: null }
			return { ...withoutResult(step), ...ended, ...result, status: 'completed' }
		}
		case 'step_failed': {
			const { error, duration_ms = null } = event.data
			const failures = step.failures + (error.code === 'worker_lost' ? 0 : 1)
			return { ...step, status: 'failed', failures, error, duration_ms, review: null, retry_at: null }
		}
		case 'step_retrying':
			return retrying(step, event)
		case 'step_skipped':
			return { ...step, status: 'skipped', review: null, retry_at: null }
		case 'step_cancelled':
			return { ...step, status: 'cancelled', review: null, retry_at: null }
		case 'quality_check':
			return { ...step, quality_score: event.data.quality_score }
		case 'review_required': {
			const { review_id, reason, options, quality_score = null, expires_at } = event.data
			return { ...step, status: 'awaiting_review', review: { review_id, reason, options, quality_score, expires_at } }
		}
		case 'review_resolved':
			return { ...step, review: null }
		default:
			return step
	}
}

/** The very same array when nothing differs, so that what is known of it stays known. */
function keptWhenEqual(before: StepState['depends_on'], given = before): StepState['depends_on'] {
	return given.length === before.length && given.every((id, index) => id === before[index]) ? before : given
}

function retrying(step: StepState, event: Extract<PlanEvent, { event_type: 'step_retrying' }>): StepState {
	const { reason, delay_ms, error = null } = event.data
	if (reason === 'manual') {
		return { ...withoutResult(step), ...UNTOUCHED, status: 'pending', failures: 0, retry_at: null }
	}
	const failures = step.failures + (COUNTED.has(reason) ? 1 : 0)
	const retry_at = new Date(Math.min(LAST_TIME, Date.parse(event.timestamp) + delay_ms)).toISOString()
	return { ...step, status: 'retrying', failures, error, retry_at, review: null }
}

/** The last time there is a date for, in milliseconds since 1970: a producer may name any delay. */
const LAST_TIME = 8_640_000_000_000_000

/** Retries for these reasons use up `retry.max_attempts`. */
const COUNTED: ReadonlySet<string> = new Set(['error', 'timeout', 'quality'])

function withoutResult(step: StepState): StepState {
	const { result: _result, result_seq: _seq, ...rest } = step
	return rest
}

/** Whether the steps that depend on this one may go on. */
export function isDone(step: Pick<StepState, 'status' | 'on_failure'>): boolean {
	return step.status === 'completed' || step.status === 'skipped' || (step.status === 'failed' && step.on_failure === 'continue')
}
