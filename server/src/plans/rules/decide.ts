import { isDeepStrictEqual } from 'node:util'
import { indexSteps, isFree, type NormalisedPlan, type ParsedEvent, PlanstreamError, STEP_STATUSES } from '@planstream/shared'
import { type PlanFold, unknownPlan } from '../../hub/plan-fold.js'
import { assertRoom } from '../../hub/publish-rules.js'
import { getOwn } from '../../ops/json.js'
import { cancel, pause, resume, retryPlan, retryStep, skipStep, timeOut } from './control.js'
import {
	ALLOWED_ON_PLAN,
	countRunning,
	type DecisionContext,
	getStep,
	type Input,
	type Lease,
	REACHED_BY_PLAN,
	refuseOnPlan,
	refuseTransition,
} from './input.js'
import { modify } from './modify.js'
import { handleFailure, handleLoss, handleResult } from './outcome.js'
import { answerReview, expireReview } from './review.js'
import { makeStepCancelled, nameCancellation, settle } from './settle.js'

/** Tells whether a plan reports metrics and is running. */
export function isMetered({ plan, state }: PlanFold): boolean {
	return plan?.metrics_interval_ms != null && (state.status === 'running' || state.status === 'pausing')
}

/**
 * Makes the metrics of a plan: its steps by status, attempts, events, output, and the usage of completed steps.
 *
 * @param window_ms - time since the previous metrics
 */
function makeMetricsUpdate({ state, output_characters }: PlanFold, window_ms: number): ParsedEvent {
	const data: Record<string, number> = { window_ms }
	for (const status of STEP_STATUSES) data[`steps_${status}`] = state.steps.filter((step) => step.status === status).length
	data.attempts = state.steps.reduce((sum, step) => sum + step.attempt, 0)
	data.events = state.seq
	data.output_characters = output_characters
	for (const { usage } of state.steps) {
		for (const [name, amount] of Object.entries(usage ?? {})) data[`usage.${name}`] = (data[`usage.${name}`] ?? 0) + amount
	}
	return { event_type: 'metrics_update', step_id: null, data }
}

/**
 * Decides which events an input adds to a plan, in order; none when its target is already reached. Pure and total: the same
 * fold, input and context give the same events, and anything that is not allowed throws a typed error.
 *
 * @param fold - null when the plan does not exist
 * @throws PlanstreamError `bad_request`, `not_found`, `conflict`, `plan_external`, `illegal_transition`
 */
export function decide(plan_id: string, fold: PlanFold | null, input: Input, context: DecisionContext): readonly ParsedEvent[] {
	if (input.kind === 'create') return create(fold, input.plan, input.start)
	const managed = assertManaged(plan_id, fold)
	switch (input.kind) {
		case 'start':
			return start(managed, context)
		case 'pause':
			return pause(managed, input, context)
		case 'resume':
			return resume(managed, context)
		case 'cancel':
			return cancel(managed, input, context)
		case 'retry':
			return retryPlan(managed, context)
		case 'modify':
			return modify(managed, input.ops, context)
		case 'retry_step':
			return retryStep(managed, input, context)
		case 'skip_step':
			return skipStep(managed, input, context)
		case 'review':
			return answerReview(managed, input, context)
		case 'review_expired':
			return expireReview(managed, input.review_id, context)
		case 'plan_timeout':
			return timeOut(managed, context)
		case 'metrics':
			return isMetered(managed) ? [makeMetricsUpdate(managed, input.window_ms)] : []
		case 'idle':
			return settle(managed, [], context)
		case 'lease':
			return lease(managed, input.lease, context)
		case 'report':
			assertCurrent(managed, input.lease, 'report')
			assertRoom(managed.state.plan_id, managed, input.events.length)
			return input.events
		default:
			return endAttempt(managed, input, context)
	}
}

type AttemptEnd = Extract<Input, { kind: 'result' | 'failure' | 'lost' }>

function endAttempt(fold: PlanFold, input: AttemptEnd, context: DecisionContext): readonly ParsedEvent[] {
	if (input.kind === 'lost') {
		const { state, spec } = getStep(fold, input.step_id)
		if (state.status !== 'running' || state.attempt !== input.attempt) return []
		return settle(
			fold,
			acceptsResults(fold)
				? handleLoss(fold, state, spec, input.reason, context.now)
				: [makeStepCancelled(input.step_id, nameCancellation(fold))],
			context,
		)
	}
	const { state, spec } = assertCurrent(fold, input.lease, input.kind)
	if (!acceptsResults(fold)) return settle(fold, [makeStepCancelled(state.step_id, nameCancellation(fold))], context)
	const after =
		input.kind === 'result' ? handleResult(state, spec, input.result, context) : handleFailure(state, spec, input, context)
	return settle(fold, after, context)
}

/** Tells whether results still count, which ends when the plan is being cancelled. */
function acceptsResults(fold: PlanFold): boolean {
	return fold.state.status !== 'cancelling'
}

function assertManaged(plan_id: string, fold: PlanFold | null): PlanFold {
	if (fold === null) throw unknownPlan(plan_id)
	if (fold.state.owner === 'managed') return fold
	const message = `Plan ${plan_id} is external: this server streams it, but accepts no commands for it.`
	throw new PlanstreamError('plan_external', message, { plan_id })
}

function create(fold: PlanFold | null, plan: NormalisedPlan, startNow: boolean): readonly ParsedEvent[] {
	if (fold === null) {
		const total_steps = plan.steps.length
		const created: ParsedEvent = { event_type: 'plan_created', step_id: null, data: { spec: plan, total_steps } }
		return startNow ? [created, makePlanStarted(plan)] : [created]
	}
	const { plan_id, owner } = fold.state
	if (owner === 'external') {
		throw new PlanstreamError('plan_external', `Plan ${plan_id} exists and is external. Choose another plan_id.`, {
			plan_id,
		})
	}
	if (isDeepStrictEqual(fold.created, plan)) return []
	const message = `Plan ${plan_id} already exists and differs from this one. Choose another plan_id, or leave it out to get one.`
	throw new PlanstreamError('conflict', message, { plan_id })
}

/** Starts a plan, and ends it at once when each of its steps was skipped before. */
function start(fold: PlanFold, context: DecisionContext): readonly ParsedEvent[] {
	const { status } = fold.state
	if (REACHED_BY_PLAN[status].includes('start')) return []
	if (!ALLOWED_ON_PLAN[status].includes('start') || fold.plan === null) refuseOnPlan(fold, 'start')
	return settle(fold, [makePlanStarted(fold.plan)], context)
}

function makePlanStarted({ query, research_type, steps }: NormalisedPlan): ParsedEvent {
	return { event_type: 'plan_started', step_id: null, data: { query, total_steps: steps.length, research_type } }
}

/** Leases an attempt to a worker, if the step may run now. */
function lease(fold: PlanFold, { step_id, attempt, worker_id }: Lease, { live }: DecisionContext): readonly ParsedEvent[] {
	const { state, spec } = getStep(fold, step_id)
	const { status, plan_id, steps } = fold.state
	if (status !== 'running') refuseTransition(`Plan ${plan_id}`, status, 'lease', [])
	const open = state.status === 'ready' || (state.status === 'retrying' && isFree(state, steps))
	if (!open || attempt !== state.attempt + 1 || live.has(step_id) || countFreeSlots(fold, live) <= 0)
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

/** Returns the step of a lease that is still current; rejects any other lease as late. */
function assertCurrent(fold: PlanFold, lease: Lease, requested: string): ReturnType<typeof getStep> {
	const step = getStep(fold, lease.step_id)
	const { status, attempt } = step.state
	const current =
		status === 'running' && attempt === lease.attempt && getOwn(fold.leases, lease.step_id)?.worker_id === lease.worker_id
	if (!current) refuseTransition(`Step ${lease.step_id}`, status, `${requested} of attempt ${lease.attempt}`, [])
	return step
}

/** Counts the attempts that `max_concurrency` still allows; an agent that outlived its attempt keeps its slot. */
export function countFreeSlots(fold: PlanFold, live: ReadonlySet<string>): number {
	return (fold.plan?.max_concurrency ?? 0) - countRunning(fold, live)
}

/** An attempt and the time it may start. */
export interface Due {
	readonly step_id: string
	readonly attempt: number
	/** Milliseconds since 1970. */
	readonly at: number
}

/**
 * Lists the attempts that may start now or at a known time, in the order of the plan; slots are checked on lease.
 *
 * @param room - most steps to list that wait for nothing but a slot
 */
export function listDueAttempts({ state }: PlanFold, room = Number.POSITIVE_INFINITY): Due[] {
	if (state.status !== 'running') return []
	const { steps } = state
	const { counts, ended } = indexSteps(steps)
	const due: Due[] = []
	let retrying = counts.retrying
	let ready = Math.min(counts.ready, room)
	for (let place = ended; ready > 0 || retrying > 0; place += 1) {
		const step = steps[place]
		if (step === undefined) break
		const attempt = step.attempt + 1
		if (step.status === 'ready') {
			if (ready > 0) due.push({ step_id: step.step_id, attempt, at: 0 })
			ready -= 1
		} else if (step.status === 'retrying') {
			if (isFree(step, steps)) {
				const at = step.retry_at === null ? 0 : Date.parse(step.retry_at)
				due.push({ step_id: step.step_id, attempt, at })
			}
			retrying -= 1
		}
	}
	return due
}
