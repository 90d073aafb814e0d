import type { ParsedEvent, StepState } from '@planstream/shared'
import { own } from '../hub/own.js'
import { type PlanFold, stepOf } from '../hub/plan-fold.js'
import { assertStepTakes, type Command, refuseTransition, stepIn, type World } from './decision.js'
import { dependentsBelow } from './graph.js'
import { settle } from './settle.js'

type Of<Kind extends Command['kind']> = Extract<Command, { kind: Kind }>

/** Runs a step again, and with cascade what was made from its result. A failed plan is reopened for it. */
export function retryStep(fold: PlanFold, { step_id, cascade }: Of<'retry_step'>, world: World): ParsedEvent[] {
	const { state } = stepIn(fold, step_id)
	assertStepTakes(fold, state, 'retry')
	assertCauseIsGone(fold, state)
	const steps = [state, ...(cascade ? affected(fold, step_id) : [])]
	const reopened: ParsedEvent[] =
		fold.state.status === 'failed' ? [{ event_type: 'plan_resumed', step_id: null, data: { reason: 'retry' } }] : []
	return settle(fold, [...reopened, ...steps.map(stepRetried)], world)
}

export function stepRetried({ step_id, attempt }: StepState): ParsedEvent {
	return { event_type: 'step_retrying', step_id, data: { reason: 'manual', next_attempt: attempt + 1, delay_ms: 0 } }
}

/** Counts a step as done without a result. */
export function skipStep(fold: PlanFold, { step_id, reason }: Of<'skip_step'>, world: World): ParsedEvent[] {
	const { state } = stepIn(fold, step_id)
	if (state.status === 'skipped' && own(fold.skipped_by, step_id) === null) return []
	assertStepTakes(fold, state, 'skip')
	return settle(fold, [{ event_type: 'step_skipped', step_id, data: { reason: reason ?? 'manual' } }], world)
}

/** A step that was skipped because of a failed one waits for that one to be retried. */
function assertCauseIsGone(fold: PlanFold, step: StepState): void {
	const cause = step.status === 'skipped' ? own(fold.skipped_by, step.step_id) : null
	if (typeof cause !== 'string' || stepOf(fold.state, cause)?.status !== 'failed') return
	refuseTransition(`Step ${step.step_id}, skipped because step ${cause} failed,`, 'skipped', 'retry', [])
}

/** Completed steps made from a step's result, directly or through others, and steps skipped because of it. */
function affected(fold: PlanFold, step_id: string): StepState[] {
	const below = dependentsBelow(fold.state.steps, step_id)
	return fold.state.steps.filter(({ step_id: id, status }) => {
		if (!below.has(id)) return false
		return status === 'completed' || (status === 'skipped' && own(fold.skipped_by, id) === step_id)
	})
}
