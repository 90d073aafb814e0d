import { isDone, isFinished, type Json, type ParsedEvent, type StepStatus } from '@planstream/shared'
import { type PlanFold, resultOf } from '../hub/plan-fold.js'
import { foldAhead } from './decision.js'
import { dependentsOf } from './graph.js'

/** A plan's result up to this size stands in its last event; a larger one names the events that hold its parts. */
const MAX_PLAN_RESULT = 900 * 1024

const WAITING: ReadonlySet<StepStatus> = new Set(['pending', 'ready', 'retrying'])
const ACTIVE: ReadonlySet<StepStatus> = new Set(['ready', 'running', 'retrying', 'awaiting_review'])

/** The events and everything that follows from them by itself: skipped dependents, then the end of the plan. */
export function settle(fold: PlanFold, events: readonly ParsedEvent[], now: number): ParsedEvent[] {
	const after = foldAhead(fold, events, now)
	const skipped = skippedDependents(after)
	const end = ending(foldAhead(after, skipped, now), now)
	return [...events, ...skipped, ...(end === null ? [] : [end])]
}

/** Steps that wait for a step which failed with `skip_dependents`, directly or through others. */
function skippedDependents(fold: PlanFold): ParsedEvent[] {
	const dependents = dependentsOf(fold.state.steps)
	const byId = new Map(fold.state.steps.map((step) => [step.step_id, step]))
	const events: ParsedEvent[] = []
	const seen = new Set<string>()
	for (const failed of fold.state.steps) {
		if (failed.status !== 'failed' || failed.on_failure !== 'skip_dependents') continue
		const open = [...(dependents.get(failed.step_id) ?? [])]
		for (let id = open.shift(); id !== undefined; id = open.shift()) {
			const step = byId.get(id)
			if (step === undefined || seen.has(id) || !WAITING.has(step.status)) continue
			seen.add(id)
			const data = { reason: 'dependency_failed', cause_step_id: failed.step_id }
			events.push({ event_type: 'step_skipped', step_id: id, data })
			open.push(...(dependents.get(id) ?? []))
		}
	}
	return events
}

/** The plan's last event, when nothing more can happen by itself. */
function ending(fold: PlanFold, now: number): ParsedEvent | null {
	const { status, steps } = fold.state
	if (isFinished(status) || (status !== 'running' && status !== 'pausing')) return null
	if (steps.every((step) => isDone(step) || (step.status === 'failed' && step.on_failure !== 'fail'))) return completed(fold, now)
	const stuck = steps.some((step) => step.status === 'failed' && step.on_failure === 'fail')
	return stuck && !steps.some((step) => ACTIVE.has(step.status)) ? failed(fold, now) : null
}

function completed(fold: PlanFold, now: number): ParsedEvent {
	const { steps } = fold.state
	const countOf = (status: StepStatus) => steps.filter((step) => step.status === status).length
	const scores = steps.flatMap((step) => (step.quality_score === null ? [] : [step.quality_score]))
	return {
		event_type: 'plan_completed',
		step_id: null,
		data: {
			status: 'completed',
			total_steps: steps.length,
			completed_steps: countOf('completed'),
			skipped_steps: countOf('skipped'),
			failed_steps: countOf('failed'),
			result: planResult(fold),
			quality_score: scores.length === 0 ? null : Math.min(...scores),
			duration_ms: durationOf(fold, now),
		},
	}
}

/** Results of the steps nothing depends on, by step id. */
function planResult(fold: PlanFold): Record<string, Json> {
	const dependents = dependentsOf(fold.state.steps)
	const last = fold.state.steps.filter((step) => !dependents.has(step.step_id))
	const whole = Object.fromEntries(last.map((step) => [step.step_id, resultOf(fold, step.step_id)]))
	if (Buffer.byteLength(JSON.stringify(whole)) <= MAX_PLAN_RESULT) return whole
	const named = last.map((step) => [
		step.step_id,
		step.result_seq === undefined ? resultOf(fold, step.step_id) : { result_seq: step.result_seq },
	])
	return Object.fromEntries(named)
}

function failed(fold: PlanFold, now: number): ParsedEvent {
	const failures = fold.state.steps.filter((step) => step.status === 'failed')
	const decisive = failures.find((step) => step.on_failure === 'fail')
	const reason = decisive?.error?.message ?? 'It gave no reason.'
	const error = { code: 'step_failed', message: `Step ${decisive?.step_id} failed: ${reason}`, retryable: true }
	const failed_step_ids = failures.map((step) => step.step_id)
	return { event_type: 'plan_failed', step_id: null, data: { error, failed_step_ids, duration_ms: durationOf(fold, now) } }
}

function durationOf(fold: PlanFold, now: number): number {
	return fold.clock_from === null ? 0 : Math.max(0, now - Date.parse(fold.clock_from))
}
