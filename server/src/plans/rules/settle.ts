import {
	type Failure,
	indexSteps,
	isFinished,
	isFree,
	type Json,
	type ParsedEvent,
	type StepState,
	type StepStatus,
} from '@planstream/shared'
import { getResult, type PlanFold } from '../../hub/plan-fold.js'
import { getOwn } from '../../ops/json.js'
import { countRunning, type DecisionContext, foldAhead } from './input.js'

/** Largest plan result that goes into the last event; a larger one refers to the events that hold its parts. */
const MAX_PLAN_RESULT = 900 * 1024

const WAITING: ReadonlySet<StepStatus> = new Set(['pending', 'ready', 'retrying'])
const ACTIVE: readonly StepStatus[] = ['ready', 'running', 'awaiting_review']
const OPEN: ReadonlySet<StepStatus> = new Set([...ACTIVE, 'pending', 'retrying'])

/** Extends events with everything that follows from them: skipped dependents, then the end, the pause or the cancellation. */
export function settle(fold: PlanFold, events: readonly ParsedEvent[], context: DecisionContext): ParsedEvent[] {
	const after = foldAhead(fold, events, context.now)
	const skipped = isFinished(after.state.status) ? [] : skipDependents(after)
	return [...events, ...skipped, ...advancePlan(foldAhead(after, skipped, context.now), context)]
}

/** Skips the steps that wait for a step that failed with `skip_dependents`, directly or through others. */
function skipDependents(fold: PlanFold): ParsedEvent[] {
	const { steps } = fold.state
	const { dependents, counts } = indexSteps(steps)
	if (counts.failed === 0) return []
	const events: ParsedEvent[] = []
	const seen = new Set<string>()
	for (const failed of steps) {
		if (failed.status !== 'failed' || failed.on_failure !== 'skip_dependents') continue
		const open = [...dependents.get(failed.step_id)]
		for (let place = open.shift(); place !== undefined; place = open.shift()) {
			const step = steps[place]
			if (step === undefined || seen.has(step.step_id)) continue
			const id = step.step_id
			const spreads = step.status === 'skipped' && getOwn(fold.skipped_by, id) === failed.step_id
			if (!spreads && !WAITING.has(step.status)) continue
			seen.add(id)
			open.push(...dependents.get(id))
			if (spreads) continue
			const data = { reason: 'dependency_failed', cause_step_id: failed.step_id }
			events.push({ event_type: 'step_skipped', step_id: id, data })
		}
	}
	return events
}

/** Ends, pauses or cancels the plan, if nothing that runs is in the way. */
function advancePlan(fold: PlanFold, context: DecisionContext): ParsedEvent[] {
	const { status } = fold.state
	const still = countRunning(fold, context.live) > 0
	switch (status) {
		case 'running':
			return endPlan(fold, context.now)
		case 'pausing': {
			const end = endPlan(fold, context.now)
			return end.length > 0 || still ? end : [makePlanPaused(fold)]
		}
		case 'cancelling':
			return still ? [] : cancelPlan(fold, context.now)
		default:
			return []
	}
}

/** Makes the plan's last event, if nothing more can happen without a command. */
function endPlan(fold: PlanFold, now: number): ParsedEvent[] {
	const { steps } = fold.state
	const { counts } = indexSteps(steps)
	const decisive =
		counts.failed === 0 ? undefined : steps.find(({ status, on_failure }) => status === 'failed' && on_failure === 'fail')
	const ended = counts.completed + counts.skipped + counts.failed === steps.length
	if (ended && decisive === undefined) return [makePlanCompleted(fold, now)]
	if (canGoOn(fold)) return []
	const unfinished = steps.filter(({ status }) => status === 'failed' || status === 'cancelled')
	return [
		makePlanFailed(fold, decisive === undefined ? describeCancelled(unfinished) : describeFailed(decisive), unfinished, now),
	]
}

/** Tells whether a step runs, or can without a command: a retry behind a step that failed or was cancelled cannot. */
function canGoOn({ state: { steps } }: PlanFold): boolean {
	const { counts } = indexSteps(steps)
	if (ACTIVE.some((status) => counts[status] > 0)) return true
	return counts.retrying > 0 && steps.some((step) => step.status === 'retrying' && isFree(step, steps))
}

function describeFailed({ step_id, error }: StepState): Failure {
	return { code: 'step_failed', message: `Step ${step_id} failed: ${error?.message ?? 'it gave no reason.'}`, retryable: true }
}

/** Describes the end of a plan whose timeout cancelled steps that were not retried when others were. */
function describeCancelled(unfinished: readonly StepState[]): Failure {
	const [first, ...others] = unfinished.filter(({ status }) => status === 'cancelled')
	const rest = others.length === 0 ? '' : ` and ${others.length} other${others.length === 1 ? '' : 's'}`
	const message = `Step ${first?.step_id}${rest} stopped when the plan timed out, and was not retried. Retry the plan.`
	return { code: 'timeout', message, retryable: true }
}

function makePlanPaused({ pause }: PlanFold): ParsedEvent {
	const reason = pause?.reason ?? null
	const data = { mode: pause?.mode ?? ('drain' as const), ...(reason !== null && { reason }), running_step_ids: [] }
	return { event_type: 'plan_paused', step_id: null, data }
}

/** Cancels every open step, then the plan. */
function cancelPlan(fold: PlanFold, now: number): ParsedEvent[] {
	const { cancel, state, plan } = fold
	const reason = cancel?.reason ?? null
	const open = state.steps.filter(isOpen)
	const steps = open.map(({ step_id }) => makeStepCancelled(step_id, nameCancellation(fold)))
	if (cancel?.timed_out === true) {
		const message = `The plan took longer than its ${plan?.timeout_ms} ms. Retry it, or give the next one more time.`
		const unfinished = state.steps.filter((step) => step.status === 'failed' || step.status === 'cancelled' || isOpen(step))
		return [...steps, makePlanFailed(fold, { code: 'timeout', message, retryable: true }, unfinished, now)]
	}
	const data = { ...(reason !== null && { reason }), duration_ms: measureDuration(fold, now) }
	return [...steps, { event_type: 'plan_cancelled', step_id: null, data }]
}

/** Tells whether a step has not ended. */
export function isOpen({ status }: StepState): boolean {
	return OPEN.has(status)
}

/** Names the reason for which a plan that is being cancelled cancels its steps. */
export function nameCancellation({ cancel }: PlanFold): 'plan_timeout' | 'plan_cancelled' {
	return cancel?.timed_out === true ? 'plan_timeout' : 'plan_cancelled'
}

export function makeStepCancelled(step_id: string, reason: 'removed' | 'plan_timeout' | 'plan_cancelled'): ParsedEvent {
	return { event_type: 'step_cancelled', step_id, data: { reason } }
}

function makePlanCompleted(fold: PlanFold, now: number): ParsedEvent {
	const { steps } = fold.state
	const { counts } = indexSteps(steps)
	const scores = steps.flatMap((step) => (step.quality_score === null ? [] : [step.quality_score]))
	return {
		event_type: 'plan_completed',
		step_id: null,
		data: {
			status: 'completed',
			total_steps: steps.length,
			completed_steps: counts.completed,
			skipped_steps: counts.skipped,
			failed_steps: counts.failed,
			result: collectResult(fold),
			quality_score: scores.length === 0 ? null : Math.min(...scores),
			duration_ms: measureDuration(fold, now),
		},
	}
}

/** Collects the results of the steps without dependents, by step id. */
function collectResult(fold: PlanFold): Record<string, Json> {
	const used = new Set(fold.state.steps.flatMap(({ depends_on }) => depends_on))
	const last = fold.state.steps.filter((step) => !used.has(step.step_id))
	const whole = Object.fromEntries(last.map((step) => [step.step_id, getResult(fold, step.step_id)]))
	if (Buffer.byteLength(JSON.stringify(whole)) <= MAX_PLAN_RESULT) return whole
	const named = last.map(({ step_id, result_seq }) => [
		step_id,
		result_seq === undefined ? getResult(fold, step_id) : { result_seq },
	])
	return Object.fromEntries(named) as Record<string, Json>
}

function makePlanFailed(fold: PlanFold, error: Failure, unfinished: readonly StepState[], now: number): ParsedEvent {
	const failed_step_ids = unfinished.map(({ step_id }) => step_id)
	return { event_type: 'plan_failed', step_id: null, data: { error, failed_step_ids, duration_ms: measureDuration(fold, now) } }
}

function measureDuration(fold: PlanFold, now: number): number {
	return fold.clock_from === null ? 0 : Math.max(0, now - Date.parse(fold.clock_from))
}
