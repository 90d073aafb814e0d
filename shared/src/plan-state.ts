import type { PlanEvent } from './events.js'
import { jsonBytes } from './json-bytes.js'
import type { NormalisedStep, PlanState, Review, StepState } from './plans.js'
import { isFinished, type PlanOwner } from './status.js'
import {
	addStep,
	applyToStep,
	createPendingStep,
	deriveReadiness,
	indexSteps,
	measureResult,
	replaceStep,
	WHOLE_STEP,
} from './step-state.js'

/** Largest result in bytes that the state holds inline; for a larger one it names the event that holds it. */
export const MAX_INLINE_RESULT = 4096
/** Total bytes of inline results in one state; beyond that it names the events of later results. */
export const MAX_INLINE_RESULTS = 512 * 1024

/** Makes the state of a plan before its first event. */
export function initialPlanState(plan_id: string, owner: PlanOwner): PlanState {
	return {
		plan_id,
		owner,
		status: 'pending',
		revision: 0,
		seq: 0,
		cursor: '0',
		query: '',
		research_type: '',
		labels: {},
		created_at: null,
		started_at: null,
		finished_at: null,
		error: null,
		result: null,
		quality_score: null,
		progress: 0,
		steps: [],
	}
}

/**
 * Applies one event to a state. It is pure and total: any event in any order results in a state, never an error, so that
 * `events.reduce(applyEvent, initialPlanState(id, owner))` is the truth on the server, in the SDK and after a crash. Untouched steps stay
 * the same objects.
 */
export function applyEvent(state: PlanState, event: PlanEvent): PlanState {
	const next = { ...applyByType(state, event), seq: event.seq, cursor: event.cursor }
	if (next.created_at === null) next.created_at = event.timestamp
	return next
}

function applyByType(state: PlanState, event: PlanEvent): PlanState {
	switch (event.event_type) {
		case 'plan_created': {
			const { query, research_type, labels, steps } = event.data.spec
			const fresh = { ...state, query, research_type, labels, revision: 1, created_at: event.timestamp }
			return setSteps(fresh, deriveReadiness(steps.map(createPendingStep)))
		}
		case 'plan_modified':
			return setSteps({ ...state, revision: event.data.revision }, deriveReadiness(mergeSteps(state.steps, event.data.steps)))
		case 'plan_started': {
			const { query, research_type } = event.data
			return { ...state, status: 'running', query, research_type, started_at: event.timestamp }
		}
		case 'plan_resumed':
			return { ...state, status: 'running', finished_at: null, error: null }
		case 'plan_pausing':
			return { ...state, status: 'pausing' }
		case 'plan_paused':
			return { ...state, status: 'paused' }
		case 'plan_cancelling':
			return { ...state, status: 'cancelling' }
		case 'plan_cancelled':
			return { ...state, status: 'cancelled', finished_at: event.timestamp }
		case 'plan_failed':
			return { ...state, status: 'failed', finished_at: event.timestamp, error: event.data.error }
		case 'plan_completed': {
			const { result, quality_score } = event.data
			const inline = jsonBytes(result) <= MAX_INLINE_RESULT
			const kept = inline ? { result } : { result: null, result_seq: event.seq }
			return { ...state, ...kept, status: 'completed', quality_score, finished_at: event.timestamp }
		}
		case 'step_started':
		case 'step_progress':
		case 'step_output':
		case 'step_completed':
		case 'step_failed':
		case 'step_retrying':
		case 'step_skipped':
		case 'step_cancelled':
		case 'quality_check':
		case 'review_required':
		case 'review_resolved':
			return event.step_id === null ? state : updateStep(state, event.step_id, event)
		case 'metrics_update':
		case 'health_update':
		case 'error':
		case 'ping':
		case 'pong':
			return state
		default:
			event satisfies never
			return state
	}
}

/**
 * Applies an event to one step. An undeclared step of an external producer is added at the end, unless the event cancels
 * it.
 */
function updateStep(state: PlanState, step_id: string, event: PlanEvent): PlanState {
	const place = indexSteps(state.steps).places.get(step_id)
	const before = place === undefined ? undefined : state.steps[place]
	if (place === undefined || before === undefined) {
		if (event.event_type === 'step_cancelled') return state
		const added = applyToStep(createUndeclaredStep(step_id), event, () => hasRoomFor(state, undefined, event))
		return setSteps(state, addStep(state.steps, added))
	}
	const after = applyToStep(before, event, () => hasRoomFor(state, before, event))
	return after === before ? state : setSteps(state, replaceStep(state.steps, place, before, after))
}

/** Sets the steps and derives the progress. */
function setSteps(state: PlanState, steps: StepState[]): PlanState {
	const { counts, partial } = indexSteps(steps)
	const done = (counts.completed + counts.skipped) * WHOLE_STEP + partial
	return { ...state, steps, progress: steps.length === 0 ? 0 : done / (steps.length * WHOLE_STEP) }
}

/** A review that waits for an answer, and its step. */
export type OpenReview = Review & { readonly step_id: string }

/** Lists the reviews of a plan that wait for an answer, in the order of its steps. */
export function listOpenReviews({ steps }: PlanState): readonly OpenReview[] {
	if (indexSteps(steps).counts.awaiting_review === 0) return []
	return steps.flatMap(({ step_id, review }) => (review === null ? [] : [{ step_id, ...review }]))
}

function mergeSteps(before: readonly StepState[], specs: readonly NormalisedStep[]): StepState[] {
	const known = new Map(before.map((step) => [step.step_id, step]))
	return specs.map((spec) => {
		const { name, action, agent_type, depends_on, on_failure } = spec
		const old = known.get(spec.step_id)
		return old === undefined ? createPendingStep(spec) : { ...old, name, action, agent_type, depends_on, on_failure }
	})
}

function createUndeclaredStep(step_id: string): StepState {
	return createPendingStep({ step_id, name: step_id, action: '', agent_type: '', depends_on: [], on_failure: 'fail' })
}

/** Tells whether the result of an event may be inline. */
function hasRoomFor(state: PlanState, step: StepState | undefined, event: PlanEvent): boolean {
	if (event.event_type !== 'step_completed') return true
	const size = jsonBytes(event.data.data)
	if (size > MAX_INLINE_RESULT) return false
	const others = indexSteps(state.steps).resultBytes - (step === undefined ? 0 : measureResult(step))
	return others + size <= MAX_INLINE_RESULTS
}

/** Tells whether a plan has finished. */
export function isPlanFinished(state: PlanState): boolean {
	return isFinished(state.status)
}
