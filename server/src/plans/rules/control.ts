import type { ParsedEvent, StepState } from '@planstream/shared'
import { findStep, type PlanFold } from '../../hub/plan-fold.js'
import { getOwn } from '../../ops/json.js'
import { findDependents } from './graph.js'
import {
	ALLOWED_ON_PLAN,
	assertStepTakes,
	type Command,
	type DecisionContext,
	getStep,
	listRunningSteps,
	type PlanCommand,
	REACHED_BY_PLAN,
	refuseOnPlan,
	refuseTransition,
} from './input.js'
import { settle } from './settle.js'

type CommandOf<Kind extends Command['kind']> = Extract<Command, { kind: Kind }>

/** Retries a step; with `cascade`, also the steps that used its result. Reopens a failed plan. */
export function retryStep(
	fold: PlanFold,
	{ step_id, cascade }: CommandOf<'retry_step'>,
	context: DecisionContext,
): ParsedEvent[] {
	const { state } = getStep(fold, step_id)
	assertStepTakes(fold, state, 'retry')
	assertCauseIsGone(fold, state)
	const steps = [state, ...(cascade ? findAffected(fold, step_id) : [])]
	const reopened: ParsedEvent[] =
		fold.state.status === 'failed' ? [{ event_type: 'plan_resumed', step_id: null, data: { reason: 'retry' } }] : []
	return settle(fold, [...reopened, ...steps.map(makeStepRetrying)], context)
}

function makeStepRetrying({ step_id, attempt }: StepState): ParsedEvent {
	return { event_type: 'step_retrying', step_id, data: { reason: 'manual', next_attempt: attempt + 1, delay_ms: 0 } }
}

/** Skips a step: it counts as done, without a result. */
export function skipStep(fold: PlanFold, { step_id, reason }: CommandOf<'skip_step'>, context: DecisionContext): ParsedEvent[] {
	const { state } = getStep(fold, step_id)
	if (state.status === 'skipped' && getOwn(fold.skipped_by, step_id) === null) return []
	assertStepTakes(fold, state, 'skip')
	return settle(fold, [{ event_type: 'step_skipped', step_id, data: { reason: reason ?? 'manual' } }], context)
}

/** Rejects the retry of a step that was skipped because another one failed: that one must be retried first. */
function assertCauseIsGone(fold: PlanFold, step: StepState): void {
	const cause = step.status === 'skipped' ? getOwn(fold.skipped_by, step.step_id) : null
	if (typeof cause !== 'string' || findStep(fold.state, cause)?.status !== 'failed') return
	refuseTransition(`Step ${step.step_id}, skipped because step ${cause} failed,`, 'skipped', 'retry', [])
}

/** Finds the completed steps that used a step's result, directly or through others, and the steps skipped because of it. */
function findAffected(fold: PlanFold, step_id: string): StepState[] {
	const below = findDependents(fold.state.steps, step_id)
	return fold.state.steps.filter(({ step_id: id, status }) => {
		if (!below.has(id)) return false
		return status === 'completed' || (status === 'skipped' && getOwn(fold.skipped_by, id) === step_id)
	})
}

/**
 * Pauses at once when nothing runs; otherwise lists the running steps, and the plan pauses when they have ended. An interrupt that
 * speeds up a pause and gives no reason keeps the reason of that pause.
 */
export function pause(fold: PlanFold, { mode, ...said }: CommandOf<'pause'>, context: DecisionContext): ParsedEvent[] {
	if (!mayChange(fold, 'pause')) return []
	if (fold.state.status === 'pausing' && (mode === 'drain' || fold.pause?.mode === 'interrupt')) return []
	const running_step_ids = listRunningSteps(fold, context.live)
	const reason = said.reason ?? fold.pause?.reason ?? null
	const data = { mode, ...(reason !== null && { reason }), running_step_ids }
	if (running_step_ids.length > 0) return [{ event_type: 'plan_pausing', step_id: null, data }]
	return [{ event_type: 'plan_paused', step_id: null, data }]
}

export function resume(fold: PlanFold, context: DecisionContext): ParsedEvent[] {
	if (!mayChange(fold, 'resume')) return []
	const since = fold.state.status === 'paused' ? fold.pause?.since : undefined
	const paused_ms = since === undefined ? {} : { paused_ms: Math.max(0, context.now - Date.parse(since)) }
	return settle(fold, [{ event_type: 'plan_resumed', step_id: null, data: { reason: 'manual', ...paused_ms } }], context)
}

/** Cancels at once when nothing runs; otherwise stops the running steps, whose results no longer count. */
export function cancel(fold: PlanFold, { reason }: CommandOf<'cancel'>, context: DecisionContext): ParsedEvent[] {
	if (!mayChange(fold, 'cancel')) return []
	return stop(fold, { ...(reason !== undefined && { reason }), timed_out: false }, context)
}

/** Stops a plan that has reached its timeout, like a cancelled one; it ends as failed. */
export function timeOut(fold: PlanFold, context: DecisionContext): ParsedEvent[] {
	const { status } = fold.state
	if (status !== 'running' && status !== 'pausing' && status !== 'paused') return []
	const due = findTimeout(fold)
	if (due === null || due > context.now) return []
	return stop(fold, { reason: 'timeout', timed_out: true }, context)
}

/** Computes when the plan times out, in milliseconds since 1970; null for a plan without a timeout. */
export function findTimeout({ plan, clock_from }: PlanFold): number | null {
	return plan?.timeout_ms == null || clock_from === null ? null : Date.parse(clock_from) + plan.timeout_ms
}

function stop(
	fold: PlanFold,
	cause: { readonly reason?: string; readonly timed_out: boolean },
	context: DecisionContext,
): ParsedEvent[] {
	const running_step_ids = listRunningSteps(fold, context.live)
	const cancelling: ParsedEvent = { event_type: 'plan_cancelling', step_id: null, data: { ...cause, running_step_ids } }
	const settled = settle(fold, [cancelling], context)
	return running_step_ids.length === 0 ? settled.slice(1) : settled
}

/** Reopens a failed or cancelled plan and retries the steps that failed, were cancelled, or were skipped because of a failure. */
export function retryPlan(fold: PlanFold, context: DecisionContext): ParsedEvent[] {
	if (!mayChange(fold, 'retry')) return []
	const resumed: ParsedEvent = { event_type: 'plan_resumed', step_id: null, data: { reason: 'retry' } }
	const again = fold.state.steps.filter(({ step_id, status }) => {
		if (status === 'skipped') return typeof getOwn(fold.skipped_by, step_id) === 'string'
		return status === 'failed' || status === 'cancelled'
	})
	return settle(fold, [resumed, ...again.map(makeStepRetrying)], context)
}

/** Returns false if the plan has already reached the target of the command. */
function mayChange(fold: PlanFold, command: PlanCommand): boolean {
	const { status } = fold.state
	if (REACHED_BY_PLAN[status].includes(command)) return false
	if (!ALLOWED_ON_PLAN[status].includes(command)) refuseOnPlan(fold, command)
	return true
}
