import { isDeepStrictEqual } from 'node:util'
import { isDone, type NormalisedPlan, type ParsedEvent, PlanstreamError, type StepState } from '@planstream/shared'
import type { PlanFold } from '../hub/plan-fold.js'
import { type Input, type Lease, refuseTransition, stepIn, type World } from './decision.js'
import { afterFailure, afterLoss, afterResult } from './outcome.js'
import { settle } from './settle.js'

/**
 * What an input does to a plan: the events to append, in order, or none when its target is already reached. Pure and total:
 * the same fold, input and world give the same events, and whatever is not allowed is a typed refusal.
 *
 * @throws PlanstreamError `not_found`, `conflict`, `plan_external`, `illegal_transition`
 */
export function decide(fold: PlanFold | null, input: Input, world: World): readonly ParsedEvent[] {
	if (input.kind === 'create') return create(fold, input.plan, input.start)
	if (fold === null) throw new PlanstreamError('not_found', 'There is no plan of this id. Create it first.')
	if (fold.state.owner === 'external') {
		const { plan_id } = fold.state
		throw new PlanstreamError(
			'plan_external',
			`Plan ${plan_id} is run elsewhere; this server streams it and takes no commands for it.`,
			{ plan_id },
		)
	}
	switch (input.kind) {
		case 'start':
			return start(fold)
		case 'lease':
			return lease(fold, input.lease)
		case 'report':
			assertCurrent(fold, input.lease, 'report')
			return input.events
		case 'result': {
			const { state, spec } = assertCurrent(fold, input.lease, 'result')
			return settle(fold, afterResult(state, spec, input.result, world), world.now)
		}
		case 'failure': {
			const { state, spec } = assertCurrent(fold, input.lease, 'failure')
			return settle(fold, afterFailure(state, spec, input, world), world.now)
		}
		case 'lost': {
			const { state, spec } = stepIn(fold, input.step_id)
			if (state.status !== 'running') return []
			return settle(fold, afterLoss(fold, state, spec, input.reason), world.now)
		}
	}
}

function create(fold: PlanFold | null, plan: NormalisedPlan, startNow: boolean): readonly ParsedEvent[] {
	if (fold === null) {
		const total_steps = plan.steps.length
		const created: ParsedEvent = { event_type: 'plan_created', step_id: null, data: { spec: plan, total_steps } }
		return startNow ? [created, started(plan)] : [created]
	}
	const { plan_id, owner } = fold.state
	if (owner === 'external') {
		throw new PlanstreamError('plan_external', `Plan ${plan_id} exists and is run elsewhere. Choose another plan_id.`, {
			plan_id,
		})
	}
	if (isDeepStrictEqual(fold.plan, plan)) return []
	const sentence = `There is a plan ${plan_id} already, and it differs from this one. Choose another plan_id, or leave it out to get one.`
	throw new PlanstreamError('conflict', sentence, { plan_id })
}

function start(fold: PlanFold): readonly ParsedEvent[] {
	const { status, plan_id } = fold.state
	if (status === 'running') return []
	if (status !== 'pending' || fold.plan === null) refuseTransition(`Plan ${plan_id}`, status, 'start', [])
	return [started(fold.plan)]
}

function started({ query, research_type, steps }: NormalisedPlan): ParsedEvent {
	return { event_type: 'plan_started', step_id: null, data: { query, total_steps: steps.length, research_type } }
}

/** Gives an attempt to a worker, if the step may run now. */
function lease(fold: PlanFold, { step_id, attempt, worker_id }: Lease): readonly ParsedEvent[] {
	const { state, spec } = stepIn(fold, step_id)
	const { status, plan_id, steps } = fold.state
	if (status !== 'running') refuseTransition(`Plan ${plan_id}`, status, 'lease', [])
	const open = state.status === 'ready' || (state.status === 'retrying' && dependenciesDone(fold, state))
	if (!open || attempt !== state.attempt + 1 || freeSlots(fold) <= 0)
		refuseTransition(`Step ${step_id}`, state.status, 'lease', [])
	const { name, action, agent_type, depends_on, timeout_ms, retry } = spec
	const step_number = steps.indexOf(state) + 1
	const facts = {
		step_number,
		name,
		action,
		agent_type,
		attempt,
		max_attempts: retry.max_attempts,
		depends_on,
		worker_id,
		timeout_ms,
	}
	return [{ event_type: 'step_started', step_id, attempt, data: facts }]
}

/** The step of a lease that is still the current one; anything else comes late and is refused. */
function assertCurrent(fold: PlanFold, lease: Lease, requested: string): ReturnType<typeof stepIn> {
	const step = stepIn(fold, lease.step_id)
	const { status, attempt } = step.state
	const current = status === 'running' && attempt === lease.attempt && fold.leases[lease.step_id]?.worker_id === lease.worker_id
	if (!current) refuseTransition(`Step ${lease.step_id}`, status, `${requested} of attempt ${lease.attempt}`, [])
	return step
}

/** How many more attempts the plan's `max_concurrency` allows. */
export function freeSlots(fold: PlanFold): number {
	const running = fold.state.steps.filter((step) => step.status === 'running').length
	return (fold.plan?.max_concurrency ?? 0) - running
}

function dependenciesDone(fold: PlanFold, step: StepState): boolean {
	return fold.state.steps.every((other) => isDone(other) || !step.depends_on.includes(other.step_id))
}

/** An attempt that may start at a time. */
export interface Due {
	readonly step_id: string
	readonly attempt: number
	/** Milliseconds since 1970. */
	readonly at: number
}

/** The attempts that may start now or at a known time, in the order of the plan; slots are counted when one is leased. */
export function dueAttempts(fold: PlanFold): Due[] {
	if (fold.state.status !== 'running') return []
	return fold.state.steps.flatMap((step) => {
		const { step_id, status, retry_at } = step
		const attempt = step.attempt + 1
		if (status === 'ready') return [{ step_id, attempt, at: 0 }]
		if (status !== 'retrying' || !dependenciesDone(fold, step)) return []
		return [{ step_id, attempt, at: retry_at === null ? 0 : Date.parse(retry_at) }]
	})
}
