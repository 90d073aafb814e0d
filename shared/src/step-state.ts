import type { PlanEvent } from './events.js'
import { jsonBytes } from './json-bytes.js'
import type { NormalisedStep, StepState } from './plans.js'
import { STEP_STATUSES, type StepStatus } from './status.js'

type DeclaredStep = Pick<NormalisedStep, 'step_id' | 'name' | 'action' | 'agent_type' | 'depends_on' | 'on_failure'>

/** A step nothing has happened to yet. */
export function pendingStep(step: DeclaredStep): StepState {
	const { step_id, name, action, agent_type, depends_on, on_failure } = step
	const declared = { step_id, name, action, agent_type, depends_on, on_failure }
	return { ...declared, status: 'pending', attempt: 0, failures: 0, ...UNTOUCHED, retry_at: null }
}

const UNTOUCHED = {
	progress: 0,
	message: null,
	started_at: null,
	duration_ms: null,
	quality_score: null,
	error: null,
	review: null,
	artifacts: [],
	usage: null,
} satisfies Partial<StepState>

/**
 * The step after an event that names it.
 *
 * @param hasRoom - whether a result this event brings may stand in the state
 */
export function applyToStep(step: StepState, event: PlanEvent, hasRoom: () => boolean): StepState {
	switch (event.event_type) {
		case 'step_started': {
			const { name = step.name, action = step.action, agent_type = step.agent_type } = event.data
			const depends_on = keptWhenEqual(step.depends_on, event.data.depends_on)
			const attempt = event.attempt ?? event.data.attempt ?? step.attempt + 1
			const declared = { name, action, agent_type, depends_on, attempt }
			return { ...withoutResult(step), ...UNTOUCHED, ...declared, status: 'running', started_at: event.timestamp, retry_at: null }
		}
		case 'step_progress': {
			const { progress, message } = event.data
			return { ...step, progress: Math.max(step.progress, progress), message: message === '' ? step.message : message }
		}
		case 'step_completed': {
			const { data, quality_score, duration_ms = null, artifacts, usage = null } = event.data
			const result = hasRoom() ? { result: data } : { result_seq: event.seq }
			const ended = { quality_score, duration_ms, artifacts, usage, progress: 1, error: null, review: null, retry_at: null }
			return { ...withoutResult(step), ...ended, ...result, status: 'completed' }
		}
		case 'step_failed': {
			const { error, duration_ms = null } = event.data
			const failures = step.failures + (error.code === 'worker_lost' ? 0 : 1)
			return { ...step, status: 'failed', failures, error, duration_ms, review: null, retry_at: null }
		}
		case 'step_retrying':
			return retrying(step, event)
		case 'step_skipped':
			return { ...step, status: 'skipped', review: null, retry_at: null }
		case 'step_cancelled':
			return { ...step, status: 'cancelled', review: null, retry_at: null }
		case 'quality_check':
			return { ...step, quality_score: event.data.quality_score }
		case 'review_required': {
			const { review_id, reason, options, quality_score = null, expires_at } = event.data
			return { ...step, status: 'awaiting_review', review: { review_id, reason, options, quality_score, expires_at } }
		}
		case 'review_resolved':
			return { ...step, review: null }
		default:
			return step
	}
}

/** The very same array when nothing differs, so that what is known of it stays known. */
function keptWhenEqual(before: StepState['depends_on'], given = before): StepState['depends_on'] {
	return given.length === before.length && given.every((id, index) => id === before[index]) ? before : given
}

function retrying(step: StepState, event: Extract<PlanEvent, { event_type: 'step_retrying' }>): StepState {
	const { reason, delay_ms, error = null } = event.data
	if (reason === 'manual') {
		return { ...withoutResult(step), ...UNTOUCHED, status: 'pending', failures: 0, retry_at: null }
	}
	const failures = step.failures + (COUNTED.has(reason) ? 1 : 0)
	const retry_at = new Date(Math.min(LAST_TIME, Date.parse(event.timestamp) + delay_ms)).toISOString()
	return { ...step, status: 'retrying', failures, error, retry_at, review: null }
}

/** The last time there is a date for, in milliseconds since 1970: a producer may name any delay. */
const LAST_TIME = 8_640_000_000_000_000

/** Retries for these reasons use up `retry.max_attempts`. */
const COUNTED: ReadonlySet<string> = new Set(['error', 'timeout', 'quality'])

function withoutResult(step: StepState): StepState {
	const { result: _result, result_seq: _seq, ...rest } = step
	return rest
}

/** Whether the steps that depend on this one may go on. */
export function isDone(step: Pick<StepState, 'status' | 'on_failure'>): boolean {
	return step.status === 'completed' || step.status === 'skipped' || (step.status === 'failed' && step.on_failure === 'continue')
}

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
