import { jsonBytes } from './json-bytes.js'
import type { StepState } from './plans.js'
import { STEP_STATUSES, type StepStatus } from './status.js'
import { isDone } from './step-state.js'

/** What would otherwise be searched for among all steps of a plan with every event. */
export interface StepIndex {
	/** The place of each step by its id; of the first one when several have the same. */
	readonly places: ReadonlyMap<string, number>
	/** For each id the places of the steps that depend on it. */
	readonly dependents: ReadonlyMap<string, readonly number[]>
	/** How many steps have each status. */
	readonly counts: Readonly<Record<StepStatus, number>>
	/** How many steps from the first on have come to their end, so that nobody looks for work among them. */
	readonly ended: number
	/** Size of the results that stand in the steps. */
	readonly resultBytes: number
}

const ENDED: ReadonlySet<StepStatus> = new Set(['completed', 'failed', 'skipped', 'cancelled'])

/** Made once for an array nobody has seen, and carried on from one state to the next. */
const indexes = new WeakMap<readonly StepState[], StepIndex>()

/** The index of the steps of a state, which are never changed in place. */
export function indexSteps(steps: readonly StepState[]): StepIndex {
	const known = indexes.get(steps)
	if (known !== undefined) return known
	const index = buildIndex(steps)
	indexes.set(steps, index)
	return index
}

function buildIndex(steps: readonly StepState[]): StepIndex {
	const places = new Map<string, number>()
	const dependents = new Map<string, number[]>()
	const counts = Object.fromEntries(STEP_STATUSES.map((status) => [status, 0])) as Record<StepStatus, number>
	let resultBytes = 0
	for (const [place, step] of steps.entries()) {
		if (!places.has(step.step_id)) places.set(step.step_id, place)
		for (const id of step.depends_on) {
			const known = dependents.get(id)
			if (known === undefined) dependents.set(id, [place])
			else known.push(place)
		}
		counts[step.status] += 1
		resultBytes += resultSize(step)
	}
	return { places, dependents, counts, ended: endedFrom(0, steps), resultBytes }
}

function endedFrom(start: number, steps: readonly StepState[]): number {
	let place = start
	for (let step = steps[place]; step !== undefined && ENDED.has(step.status); step = steps[place]) place += 1
	return place
}

/** Size of the result that stands in a step. */
export function resultSize({ result }: StepState): number {
	return result === undefined ? 0 : jsonBytes(result)
}

/** Sets each waiting step to `pending` or `ready`, by whether all its dependencies are done. */
export function deriveReadiness(steps: readonly StepState[]): StepState[] {
	const { places } = indexSteps(steps)
	return steps.map((step) => withReadiness(step, steps, places))
}

function withReadiness(step: StepState, steps: readonly StepState[], places: StepIndex['places']): StepState {
	if (step.status !== 'pending' && step.status !== 'ready') return step
	const status: StepStatus = areDone(step.depends_on, steps, places) ? 'ready' : 'pending'
	return status === step.status ? step : { ...step, status }
}

function areDone(ids: readonly string[], steps: readonly StepState[], places: StepIndex['places']): boolean {
	return ids.every((id) => {
		const step = steps[places.get(id) ?? -1]
		return step !== undefined && isDone(step)
	})
}

/** Whether everything a step depends on is done. */
export function isFree({ depends_on }: StepState, steps: readonly StepState[]): boolean {
	return areDone(depends_on, steps, indexSteps(steps).places)
}

/**
 * The steps with one of them replaced, and `ready` and `pending` derived again for those it concerns: the cost is that of
 * the step and its dependents, however many steps there are.
 *
 * @param place - where `before` stands; the first step of its id
 */
export function replaceStep(steps: readonly StepState[], place: number, before: StepState, after: StepState): StepState[] {
	const { places, dependents, counts, ended, resultBytes } = indexSteps(steps)
	const next = [...steps]
	const nextCounts = { ...counts }
	const put = (at: number, from: StepState, to: StepState): void => {
		next[at] = to
		nextCounts[from.status] -= 1
		nextCounts[to.status] += 1
	}
	put(place, before, after)
	const waiting = isDone(before) === isDone(after) ? [] : (dependents.get(after.step_id) ?? [])
	for (const at of after.status === before.status ? [] : [place, ...waiting]) {
		const step = next[at] ?? after
		const derived = withReadiness(step, next, places)
		if (derived !== step) put(at, step, derived)
	}
	// Edges that a producer has changed are indexed afresh.
	if (after.depends_on === before.depends_on) {
		const bytes = resultBytes - resultSize(before) + resultSize(after)
		const from = ENDED.has(after.status) ? ended : Math.min(ended, place)
		indexes.set(next, { places, dependents, counts: nextCounts, ended: endedFrom(from, next), resultBytes: bytes })
	}
	return next
}
