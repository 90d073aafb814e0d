import { type EventType, type Json, jsonBytes, type PlanState, type StepState } from '@planstream/shared'
import { findStep } from './plan-fold.js'

/** Sizes of a plan's state and of its log, in bytes. */
export interface PlanSizes {
	readonly state_bytes: number
	readonly plan_bytes: number
}

/** JSON of a state and of a step besides their texts, results and lists. */
const STATE_BYTES = 512
const STEP_BYTES = 480

const steps = new WeakMap<StepState, number>()
/** Bytes of all steps of a state, by the array, which is never changed in place. */
const sums = new WeakMap<readonly StepState[], number>()

/**
 * Measures a state as JSON. Escaped quotes in printable ASCII are not counted, so it is exact to within a factor of two in the worst
 * case and a few percent in practice.
 */
export function measureState(state: PlanState): number {
	const { query, research_type, labels, error, result } = state
	const own = textBytes(query) + textBytes(research_type) + jsonBytes(labels) + jsonBytes(error) + jsonBytes(result)
	return STATE_BYTES + own + measureSteps(state.steps)
}

export function measureSteps(all: readonly StepState[]): number {
	const known = sums.get(all)
	if (known !== undefined) return known
	const sum = all.reduce((bytes, step) => bytes + measureStep(step), 0)
	sums.set(all, sum)
	return sum
}

/** Measures the steps of the state after an event of one step at the cost of that step. */
export function carryStateSize(before: PlanState, after: PlanState, step_id: string | null): void {
	const known = sums.get(before.steps)
	if (step_id === null || known === undefined || sums.has(after.steps)) return
	const was = findStep(before, step_id)
	const is = findStep(after, step_id)
	sums.set(after.steps, known - (was === undefined ? 0 : measureStep(was)) + (is === undefined ? 0 : measureStep(is)))
}

function measureStep(step: StepState): number {
	const known = steps.get(step)
	if (known !== undefined) return known
	const { step_id, name, action, agent_type, message, depends_on, error, review, artifacts, usage, result } = step
	const texts = textBytes(step_id) + textBytes(name) + textBytes(action) + textBytes(agent_type) + textBytes(message)
	const values = [depends_on, error, review, artifacts, usage, result ?? null] as readonly Json[]
	const bytes = values.reduce<number>((sum, value) => sum + jsonBytes(value), STEP_BYTES + texts)
	steps.set(step, bytes)
	return bytes
}

const PRINTABLE = /^[\x20-\x7e]*$/

/** Measures a text; logs of other versions may lack one, and are measured all the same. */
function textBytes(text: string | null | undefined): number {
	if (typeof text !== 'string') return 4
	return PRINTABLE.test(text) ? text.length + 2 : Buffer.byteLength(JSON.stringify(text))
}

/** Types that end a plan. */
export const PLAN_ENDINGS: ReadonlySet<EventType> = new Set(['plan_completed', 'plan_failed', 'plan_cancelled'])

/** Types that end an attempt, a step or a plan, which a full plan still takes so that nothing hangs. */
export const ENDINGS: ReadonlySet<EventType> = new Set([
	...PLAN_ENDINGS,
	'step_completed',
	'step_failed',
	'step_skipped',
	'step_cancelled',
	'review_resolved',
])
