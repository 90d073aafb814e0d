import type {
	Artifact,
	Check,
	Failure,
	Json,
	NormalisedPlan,
	NormalisedStep,
	ParsedEvent,
	PlanEvent,
	Usage,
} from '@planstream/shared'
import { PlanstreamError, type StepState } from '@planstream/shared'
import { foldEvent, type PlanFold, stepOf } from '../hub/plan-fold.js'

/** One attempt of one step and the worker that holds it: what fences results and progress that come late. */
export interface Lease {
	readonly step_id: string
	readonly attempt: number
	readonly worker_id: string
}

/** What an attempt came to, with everything the event says of it. */
export interface AttemptResult {
	readonly data: Readonly<Record<string, Json>>
	readonly quality_score?: number | undefined
	readonly checks?: readonly Check[] | undefined
	readonly artifacts: readonly Artifact[]
	readonly usage: Usage | null
	readonly duration_ms: number
}

/** Everything that can happen to a plan. */
export type Input =
	| { readonly kind: 'create'; readonly plan: NormalisedPlan; readonly start: boolean }
	| { readonly kind: 'start' }
	| { readonly kind: 'lease'; readonly lease: Lease }
	| { readonly kind: 'report'; readonly lease: Lease; readonly events: readonly ParsedEvent[] }
	| { readonly kind: 'result'; readonly lease: Lease; readonly result: AttemptResult }
	| {
			readonly kind: 'failure'
			readonly lease: Lease
			readonly reason: 'error' | 'timeout'
			readonly error: Failure
			readonly duration_ms: number
	  }
	| { readonly kind: 'lost'; readonly step_id: string; readonly reason: 'worker_lost' | 'shutdown' }

/** The world as far as a decision may know it. */
export interface World {
	/** Milliseconds since 1970. */
	readonly now: number
	/** Drawn uniformly from 0 to 1, for jitter. */
	readonly random: number
}

/** The fold after events that are decided but not yet in the log. */
export function foldAhead(fold: PlanFold, events: readonly ParsedEvent[], now: number): PlanFold {
	const timestamp = new Date(now).toISOString()
	return events.reduce((before, event) => {
		const envelope = { timestamp, event_id: '', plan_id: before.state.plan_id, cursor: '', seq: before.state.seq + 1 }
		return foldEvent(before, { ...event, ...envelope } as PlanEvent)
	}, fold)
}

/** The state and the specification of a step the decision is about. */
export function stepIn(fold: PlanFold, step_id: string): { readonly state: StepState; readonly spec: NormalisedStep } {
	const state = stepOf(fold.state, step_id)
	const spec = fold.plan?.steps.find((step) => step.step_id === step_id)
	if (state !== undefined && spec !== undefined) return { state, spec }
	const sentence = `Plan ${fold.state.plan_id} has no step ${step_id}. Its steps are in the plan's state.`
	throw new PlanstreamError('not_found', sentence, { step_id })
}

export function refuseTransition(subject: string, from: string, requested: string, allowed: readonly string[]): never {
	const next = allowed.length === 0 ? 'Nothing is allowed in this state.' : `Allowed now: ${allowed.join(', ')}.`
	const sentence = `${subject} is ${from}, so ${requested} was refused. ${next}`
	throw new PlanstreamError('illegal_transition', sentence, { from, requested, allowed })
}
