import type { PlanEvent } from './events.js'
import { jsonBytes } from './json-bytes.js'
import type { NormalisedStep, StepState } from './plans.js'
import { STEP_STATUSES, type StepStatus } from './status.js'

type DeclaredStep = Pick<NormalisedStep, 'step_id' | 'name' | 'action' | 'agent_type' | 'depends_on' | 'on_failure'>

/** Makes the initial state of a step. */
export function createPendingStep(step: DeclaredStep): StepState {
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
 * Applies an event to its step.
 *
 * @param hasRoom - tells whether the result of this event may be inline
 */
export function applyToStep(step: StepState, event: PlanEvent, hasRoom: () => boolean): StepState {
	switch (event.event_type) {
		case 'step_started': {
			const { name = step.name, action = step.action, agent_type = step.agent_type } = event.data
			const depends_on = keepIfEqual(step.depends_on, event.data.depends_on)
			const attempt = event.attempt ?? event.data.attempt ?? step.attempt + 1
			const declared = { name, action, agent_type, depends_on, attempt }
			return { ...removeResult(step), ...UNTOUCHED, ...declared, status: 'running', started_at: event.timestamp, retry_at: null }
		}
		case 'step_progress': {
			const { progress, message } = event.data
			return { ...step, progress: Math.max(step.progress, progress), message: message === '' ? step.message : message }
		}
		case 'step_completed': {
			const { data, quality_score, duration_ms = null, artifacts, usage = null } = event.data
			const result = hasRoom() ? { result: data } : { result_seq: event.seq }
			const ended = { quality_score, duration_ms, artifacts, usage, progress: 1, error: null, review: null, retry_at: null }
			return { ...removeResult(step), ...ended, ...result, status: 'completed' }
		}
		case 'step_failed': {
			const { error, duration_ms = null } = event.data
			const failures = step.failures + (error.code === 'worker_lost' ? 0 : 1)
			return { ...step, status: 'failed', failures, error, duration_ms, review: null, retry_at: null }
		}
		case 'step_retrying':
			return applyRetrying(step, event)
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

/** Keeps the same array if nothing differs, because the index of the steps depends on its identity. */
function keepIfEqual(before: StepState['depends_on'], given = before): StepState['depends_on'] {
	return given.length === before.length && given.every((id, index) => id === before[index]) ? before : given
}

function applyRetrying(step: StepState, event: Extract<PlanEvent, { event_type: 'step_retrying' }>): StepState {
	const { reason, delay_ms, error = null } = event.data
	if (reason === 'manual') {
		return { ...removeResult(step), ...UNTOUCHED, status: 'pending', failures: 0, retry_at: null }
	}
	const failures = step.failures + (COUNTED.has(reason) ? 1 : 0)
	const retry_at = new Date(Math.min(LAST_TIME, Date.parse(event.timestamp) + delay_ms)).toISOString()
	return { ...step, status: 'retrying', failures, error, retry_at, review: null }
}

/** Latest time of a `Date`, in milliseconds since 1970; a producer may send any delay. */
const LAST_TIME = 8_640_000_000_000_000

/** Reasons of retries that count towards `retry.max_attempts`. */
const COUNTED: ReadonlySet<string> = new Set(['error', 'timeout', 'quality'])

function removeResult(step: StepState): StepState {
	const { result: _result, result_seq: _seq, ...rest } = step
	return rest
}

/** Tells whether the dependents of a step may run. */
export function isDone(step: Pick<StepState, 'status' | 'on_failure'>): boolean {
	return step.status === 'completed' || step.status === 'skipped' || (step.status === 'failed' && step.on_failure === 'continue')
}

/** An index of a plan's steps, which saves a search through all steps on every event. */
export interface StepIndex {
	/** Position of each step by its id; the first one if several share an id. */
	readonly places: ReadonlyMap<string, number>
	/** Positions of the dependents of each id. Later states share it, so it may name steps that this state does not have. */
	readonly dependents: Dependents
	/** Number of dependencies of all steps. */
	readonly edges: number
	/** Number of steps per status. */
	readonly counts: Readonly<Record<StepStatus, number>>
	/** Number of leading steps that have ended, which the search for work skips. */
	readonly ended: number
	/** Bytes of inline results. */
	readonly resultBytes: number
	/** Progress of the steps that are under way, in units of {@link WHOLE_STEP}; a sum of integers, so that its order does not matter. */
	readonly partial: number
}

/** The progress of one whole step. */
export const WHOLE_STEP = 10_000

const ENDED: ReadonlySet<StepStatus> = new Set(['completed', 'failed', 'skipped', 'cancelled'])

/** Built once for a new array, then carried over from state to state. */
const indexes = new WeakMap<readonly StepState[], StepIndex>()

/** Returns the index of the steps of a state, which are never changed in place. */
export function indexSteps(steps: readonly StepState[]): StepIndex {
	const known = indexes.get(steps)
	if (known !== undefined) return known
	const index = buildIndex(steps)
	indexes.set(steps, index)
	return index
}

/** Positions of the dependents of each id. It only grows, so that a state costs what its event adds. */
class Dependents {
	readonly #places = new Map<string, number[]>()
	#edges = 0

	/** Number of edges added since the index was built, including outdated ones. */
	get edges(): number {
		return this.#edges
	}

	get(step_id: string): readonly number[] {
		return this.#places.get(step_id) ?? []
	}

	add(depends_on: readonly string[], place: number): void {
		for (const id of depends_on) {
			const known = this.#places.get(id)
			if (known === undefined) this.#places.set(id, [place])
			else known.push(place)
		}
		this.#edges += depends_on.length
	}
}

/** Outdated edges that may stay in an index beside the live ones, before it is built again. */
const OUTDATED_EDGES = 10_000

function buildIndex(steps: readonly StepState[]): StepIndex {
	const places = new Map<string, number>()
	const dependents = new Dependents()
	const counts = Object.fromEntries(STEP_STATUSES.map((status) => [status, 0])) as Record<StepStatus, number>
	let resultBytes = 0
	let partial = 0
	for (const [place, step] of steps.entries()) {
		if (!places.has(step.step_id)) places.set(step.step_id, place)
		dependents.add(step.depends_on, place)
		counts[step.status] += 1
		resultBytes += measureResult(step)
		partial += measurePart(step)
	}
	return { places, dependents, edges: dependents.edges, counts, ended: countEnded(0, steps), resultBytes, partial }
}

function countEnded(start: number, steps: readonly StepState[]): number {
	let place = start
	for (let step = steps[place]; step !== undefined && ENDED.has(step.status); step = steps[place]) place += 1
	return place
}

/** Measures the inline result of a step, in bytes. */
export function measureResult({ result }: StepState): number {
	return result === undefined ? 0 : jsonBytes(result)
}

/** Measures the progress of a step that is under way; one that waits for its retry starts over. */
function measurePart({ status, progress }: StepState): number {
	return status === 'running' || status === 'awaiting_review' ? Math.floor(progress * WHOLE_STEP) : 0
}

/** Sets each waiting step to `pending` or `ready`, by whether all its dependencies are done. */
export function deriveReadiness(steps: readonly StepState[]): StepState[] {
	const { places } = indexSteps(steps)
	return steps.map((step) => updateReadiness(step, steps, places))
}

function updateReadiness(step: StepState, steps: readonly StepState[], places: StepIndex['places']): StepState {
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

/** Tells whether all dependencies of a step are done. */
export function isFree({ depends_on }: StepState, steps: readonly StepState[]): boolean {
	return areDone(depends_on, steps, indexSteps(steps).places)
}

/**
 * Replaces one step and derives `ready` and `pending` again for it and its dependents. The cost depends on their number, not on the
 * number of all steps.
 *
 * @param place - position of `before`, the first step with its id
 */
export function replaceStep(steps: readonly StepState[], place: number, before: StepState, after: StepState): StepState[] {
	const { places, dependents, edges, counts, ended, resultBytes, partial } = indexSteps(steps)
	const next = [...steps]
	const nextCounts = { ...counts }
	const sameEdges = after.depends_on === before.depends_on
	const nextEdges = edges - before.depends_on.length + after.depends_on.length
	if (!sameEdges) dependents.add(after.depends_on, place)
	put(next, nextCounts, place, after)
	const waiting = isDone(before) === isDone(after) ? [] : dependents.get(after.step_id)
	for (const at of after.status === before.status ? [] : [place, ...waiting]) derive(next, nextCounts, at, places)
	if (sameEdges || dependents.edges <= 2 * nextEdges + OUTDATED_EDGES) {
		const bytes = resultBytes - measureResult(before) + measureResult(after)
		const from = ENDED.has(after.status) ? ended : Math.min(ended, place)
		indexes.set(next, {
			places,
			dependents,
			edges: nextEdges,
			counts: nextCounts,
			ended: countEnded(from, next),
			resultBytes: bytes,
			partial: partial - measurePart(before) + measurePart(after),
		})
	}
	return next
}

/** Appends a step, at the cost of that step and its dependents. */
export function addStep(steps: readonly StepState[], added: StepState): StepState[] {
	const { places, dependents, edges, counts, ended, resultBytes, partial } = indexSteps(steps)
	const place = steps.length
	const next = [...steps, added]
	const nextPlaces = new Map(places).set(added.step_id, place)
	const nextCounts = { ...counts, [added.status]: counts[added.status] + 1 }
	dependents.add(added.depends_on, place)
	for (const at of [place, ...dependents.get(added.step_id)]) derive(next, nextCounts, at, nextPlaces)
	indexes.set(next, {
		places: nextPlaces,
		dependents,
		edges: edges + added.depends_on.length,
		counts: nextCounts,
		ended: countEnded(ended, next),
		resultBytes: resultBytes + measureResult(added),
		partial: partial + measurePart(added),
	})
	return next
}

/** Derives `ready` and `pending` of one step again; places of later states are skipped. */
function derive(steps: StepState[], counts: Record<StepStatus, number>, place: number, places: StepIndex['places']): void {
	const step = steps[place]
	if (step === undefined) return
	const derived = updateReadiness(step, steps, places)
	if (derived !== step) put(steps, counts, place, derived)
}

function put(steps: StepState[], counts: Record<StepStatus, number>, place: number, step: StepState): void {
	const before = steps[place]
	if (before !== undefined) counts[before.status] -= 1
	counts[step.status] += 1
	steps[place] = step
}
