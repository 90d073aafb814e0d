import type { ParsedEvent, StepState } from '@planstream/shared'
import { findStep, type PlanFold } from '../../hub/plan-fold.js'
import { getOwn } from '../../ops/records.js'
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

type StepInputOf<Kind extends Command['kind']> = Extract<Command, { kind: Kind }>

/** Runs a step again, and with cascade what was made from its result. A failed plan is reopened for it. */
export function retryStep(
	fold: PlanFold,
	{ step_id, cascade }: StepInputOf<'retry_step'>,
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

/** Counts a step as done without a result. */
export function skipStep(fold: PlanFold, { step_id, reason }: StepInputOf<'skip_step'>, context: DecisionContext): ParsedEvent[] {
	const { state } = getStep(fold, step_id)
	if (state.status === 'skipped' && getOwn(fold.skipped_by, step_id) === null) return []
	assertStepTakes(fold, state, 'skip')
	return settle(fold, [{ event_type: 'step_skipped', step_id, data: { reason: reason ?? 'manual' } }], context)
}

/** A step that was skipped because of a failed one waits for that one to be retried. */
function assertCauseIsGone(fold: PlanFold, step: StepState): void {
	const cause = step.status === 'skipped' ? getOwn(fold.skipped_by, step.step_id) : null
	if (typeof cause !== 'string' || findStep(fold.state, cause)?.status !== 'failed') return
	refuseTransition(`Step ${step.step_id}, skipped because step ${cause} failed,`, 'skipped', 'retry', [])
}

/** Completed steps made from a step's result, directly or through others, and steps skipped because of it. */
function findAffected(fold: PlanFold, step_id: string): StepState[] {
	const below = findDependents(fold.state.steps, step_id)
	return fold.state.steps.filter(({ step_id: id, status }) => {
		if (!below.has(id)) return false
		return status === 'completed' || (status === 'skipped' && getOwn(fold.skipped_by, id) === step_id)
	})
}

type Of<Kind extends Command['kind']> = Extract<Command, { kind: Kind }>

/**
 * Pauses at once when nothing runs; else says what is still running, and the pause takes hold when that has ended. An interrupt that
 * hurries a pause on and gives no reason keeps that of the pause.
 */
export function pause(fold: PlanFold, { mode, ...said }: Of<'pause'>, context: DecisionContext): ParsedEvent[] {
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

/** Cancels at once when nothing runs; else what runs is told to stop, and counts no more. */
export function cancel(fold: PlanFold, { reason }: Of<'cancel'>, context: DecisionContext): ParsedEvent[] {
	if (!mayChange(fold, 'cancel')) return []
	return stop(fold, { ...(reason !== undefined && { reason }), timed_out: false }, context)
}

/** The plan's own time is over: it is stopped like a cancelled one and ends as failed. */
export function timeOut(fold: PlanFold, context: DecisionContext): ParsedEvent[] {
	const { status } = fold.state
	if (status !== 'running' && status !== 'pausing' && status !== 'paused') return []
	const due = findTimeout(fold)
	if (due === null || due > context.now) return []
	return stop(fold, { reason: 'timeout', timed_out: true }, context)
}

/** When the plan's own time is over, in milliseconds since 1970; null for a plan without such a time. */
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

/** Reopens a failed or cancelled plan: what failed, was cancelled or was skipped because of a failure runs again. */
export function retryPlan(fold: PlanFold, context: DecisionContext): ParsedEvent[] {
	if (!mayChange(fold, 'retry')) return []
	const resumed: ParsedEvent = { event_type: 'plan_resumed', step_id: null, data: { reason: 'retry' } }
	const again = fold.state.steps.filter(({ step_id, status }) => {
		if (status === 'skipped') return typeof getOwn(fold.skipped_by, step_id) === 'string'
		return status === 'failed' || status === 'cancelled'
	})
	return settle(fold, [resumed, ...again.map(makeStepRetrying)], context)
}

/** False when the plan is there already. */
function mayChange(fold: PlanFold, command: PlanCommand): boolean {
	const { status } = fold.state
	if (REACHED_BY_PLAN[status].includes(command)) return false
	if (!ALLOWED_ON_PLAN[status].includes(command)) refuseOnPlan(fold, command)
	return true
}
