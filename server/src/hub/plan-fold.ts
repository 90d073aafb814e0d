import {
	applyEvent,
	initialPlanState,
	isFinished,
	type Json,
	type NormalisedPlan,
	type PlanEvent,
	type PlanOwner,
	type PlanState,
	type PlanSummary,
	type StepState,
} from '@planstream/shared'

/** What one step's attempts have left behind that a viewer has no use for. */
interface Lease {
	/** The worker of the current attempt: with `attempt` it fences results and progress. */
	readonly worker_id: string
	/** Workers lost since the last progress; `retry.max_lost` ends a crash loop. */
	readonly losses: number
}

/** Everything a server needs to go on with a plan: what viewers see, the graph with its policies, and the leases. */
export interface PlanFold {
	readonly state: PlanState
	/** The plan as it stands after all modifications; null for a plan run elsewhere that never said it. */
	readonly plan: NormalisedPlan | null
	readonly leases: Readonly<Record<string, Lease>>
	/** Results of managed plans that are too large to stand in the state, by step id. */
	readonly large_results: Readonly<Record<string, Json>>
	/** What is held back until its review is answered, by step id. */
	readonly held: Readonly<Record<string, Json>>
	/** From when the plan's timeout counts. */
	readonly clock_from: string | null
}

export function initialFold(plan_id: string, owner: PlanOwner): PlanFold {
	return { state: initialPlanState(plan_id, owner), plan: null, leases: {}, large_results: {}, held: {}, clock_from: null }
}

/** The fold after one more event: pure and total, like the reducer it wraps. */
export function foldEvent(fold: PlanFold, event: PlanEvent): PlanFold {
	const next = { ...fold, state: applyEvent(fold.state, event) }
	switch (event.event_type) {
		case 'plan_created':
			return { ...next, plan: event.data.spec }
		case 'plan_modified':
			return fold.plan === null ? next : { ...next, plan: { ...fold.plan, steps: event.data.steps } }
		case 'plan_started':
			return { ...next, clock_from: event.timestamp }
		case 'plan_resumed':
			return event.data.reason === 'retry' ? { ...next, clock_from: event.timestamp } : next
		case 'step_started':
			return withLease(next, event.step_id, { worker_id: event.data.worker_id ?? '', losses: lossesOf(fold, event.step_id) })
		case 'step_progress': {
			const lease = fold.leases[event.step_id]
			return lease === undefined || lease.losses === 0 ? next : withLease(next, event.step_id, { ...lease, losses: 0 })
		}
		case 'step_retrying': {
			if (event.data.reason !== 'worker_lost') return next
			return withLease(next, event.step_id, { worker_id: '', losses: lossesOf(fold, event.step_id) + 1 })
		}
		case 'step_completed': {
			if (fold.state.owner === 'external' || stepOf(next.state, event.step_id)?.result_seq === undefined) return next
			return { ...next, large_results: { ...fold.large_results, [event.step_id]: event.data.data } }
		}
		case 'review_required': {
			if (fold.state.owner === 'external' || event.step_id === null) return next
			return { ...next, held: { ...fold.held, [event.step_id]: event.data.payload } }
		}
		default:
			return next
	}
}

export function stepOf(state: PlanState, step_id: string): StepState | undefined {
	return state.steps.find((step) => step.step_id === step_id)
}

/** The result of a completed step; null for any other. */
export function resultOf(fold: PlanFold, step_id: string): Json {
	const step = stepOf(fold.state, step_id)
	if (step?.status !== 'completed') return null
	return step.result ?? fold.large_results[step_id] ?? null
}

function lossesOf(fold: PlanFold, step_id: string): number {
	return fold.leases[step_id]?.losses ?? 0
}

function withLease(fold: PlanFold, step_id: string, lease: Lease): PlanFold {
	return { ...fold, leases: { ...fold.leases, [step_id]: lease } }
}

/** The line of the plan list that a state stands for. */
export function summarise(state: PlanState, updated_at: string): PlanSummary {
	const { plan_id, owner, status, query, labels, revision, progress, created_at, started_at, finished_at } = state
	const times = { created_at: created_at ?? updated_at, started_at, finished_at, updated_at }
	return { plan_id, owner, status, finished: isFinished(status), query, labels, revision, progress, ...times }
}
