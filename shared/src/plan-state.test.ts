import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { EVENT_TYPES, type EventType, LIVE_EVENT_TYPES } from './event-types.js'
import { eventInput, type PlanEvent, planEvent } from './events.js'
import { applyEvent, initialPlanState, listOpenReviews, MAX_INLINE_RESULT } from './plan-state.js'
import { planState } from './plans.js'
import { indexSteps } from './step-state.js'

const id = fc.constantFrom('a', 'b', 'c')
const error = { code: 'x', message: 'broken', retryable: true }
const spec = {
	plan_id: 'p',
	query: 'q',
	steps: ['a', 'b', 'c'].map((step_id, index) => ({
		step_id,
		name: step_id,
		action: 'act',
		agent_type: 'any',
		depends_on: index === 0 ? [] : ['a'],
		implied: false,
	})),
}

/** The smallest valid data of each event type. */
const data: Record<Exclude<EventType, 'ping' | 'pong'>, Record<string, unknown>> = {
	plan_created: { spec, total_steps: 3 },
	plan_started: { query: 'q', total_steps: 3 },
	plan_completed: {},
	plan_failed: { error },
	plan_pausing: { mode: 'drain', running_step_ids: [] },
	plan_paused: {},
	plan_resumed: {},
	plan_cancelling: { running_step_ids: [] },
	plan_cancelled: {},
	plan_modified: { from_revision: 1, revision: 2, ops: [], steps: spec.steps.slice(0, 2) },
	step_started: {},
	step_progress: { progress: 0.5 },
	step_output: { delta: 'x' },
	step_completed: { data: { value: 1 } },
	step_failed: { error },
	step_retrying: { reason: 'error', delay_ms: 5 },
	step_skipped: { reason: 'manual' },
	step_cancelled: { reason: 'manual' },
	quality_check: { quality_score: 0.5, decision: 'approved', passed: true },
	review_required: { review_id: 'r', reason: 'low' },
	review_resolved: { review_id: 'r', decision: 'approve' },
	metrics_update: { tokens: 5 },
	health_update: { component: 'store', status: 'ok' },
	error: { code: 'x', message: 'x' },
}

function event(event_type: keyof typeof data, step_id: string, seq: number): PlanEvent {
	const about = event_type.startsWith('step_') || event_type.startsWith('review_') || event_type === 'quality_check'
	const sent = eventInput.parse({ event_type, data: data[event_type], ...(about && { step_id }) })
	const envelope = {
		seq,
		cursor: `e.${seq}.0000000000000000`,
		event_id: `id${seq}`,
		plan_id: 'p',
		timestamp: '2026-01-01T00:00:00.000Z',
	}
	return planEvent.parse({ ...sent, ...envelope })
}

/** Gives a step_started event other dependencies than the plan has, as an external producer may. */
function withOtherEdges(event: PlanEvent): PlanEvent {
	if (event.event_type !== 'step_started') return event
	return { ...event, data: { ...event.data, depends_on: event.step_id === 'b' ? ['c'] : ['b'] } }
}

const types = Object.keys(data) as (keyof typeof data)[]
const history = fc.array(fc.tuple(fc.constantFrom(...types), id), { maxLength: 40 })

describe('applyEvent', () => {
	it('covers every stored event type', () => {
		expect([...types].sort()).toEqual(EVENT_TYPES.filter((type) => !LIVE_EVENT_TYPES.has(type)).sort())
	})

	it('yields a valid state for any sequence of events and never mutates its input', () => {
		fc.assert(
			fc.property(history, (choices) => {
				choices.reduce(
					(state, [type, step_id], index) => {
						const before = structuredClone(state)
						const next = applyEvent(state, event(type, step_id, index + 1))
						expect(state).toEqual(before)
						expect(next.seq).toBe(index + 1)
						expect(planState.parse(next)).toEqual(next)
						return next
					},
					initialPlanState('p', 'external'),
				)
			}),
		)
	})

	it('yields the same state from a parsed snapshot as from the state it was taken of', () => {
		fc.assert(
			fc.property(history, (choices) => {
				const known = event('plan_created', 'a', 1)
				choices.reduce(
					(state, [type, step_id], index) => {
						const added = withOtherEdges(event(type, step_id, index + 2))
						const next = applyEvent(state, added)
						expect(next).toEqual(applyEvent(structuredClone(state), added))
						expect(indexSteps(next.steps)).toEqual(indexSteps(structuredClone(next.steps)))
						return next
					},
					applyEvent(initialPlanState('p', 'external'), known),
				)
			}),
			{ numRuns: 300 },
		)
	})

	it('never lowers progress within an attempt and resets it to 0 when the next one starts', () => {
		const seen = [0.5, 0.2, 0.7].map(
			(progress, index) => ({ ...event('step_progress', 'a', index + 2), data: { progress, message: '' } }) as PlanEvent,
		)
		const state = seen.reduce(applyEvent, applyEvent(initialPlanState('p', 'external'), event('step_started', 'a', 1)))
		expect(state.steps[0]?.progress).toBe(0.7)
		expect(applyEvent(state, event('step_started', 'a', 9)).steps[0]?.progress).toBe(0)
	})

	it('derives "ready" from the dependencies in every plan status', () => {
		const statuses = (events: readonly (keyof typeof data)[]) =>
			events
				.reduce((state, type, index) => applyEvent(state, event(type, 'a', index + 1)), initialPlanState('p', 'managed'))
				.steps.map(({ status }) => status)
		expect(statuses(['plan_created'])).toEqual(['ready', 'pending', 'pending'])
		expect(statuses(['plan_created', 'step_started', 'step_completed'])).toEqual(['completed', 'ready', 'ready'])
		expect(statuses(['plan_created', 'step_skipped'])).toEqual(['skipped', 'ready', 'ready'])
		expect(statuses(['plan_created', 'step_failed'])).toEqual(['failed', 'pending', 'pending'])
	})

	it('counts the parts of steps that run or wait for a person, and names the open reviews', () => {
		let state = applyEvent(initialPlanState('p', 'managed'), event('plan_created', 'a', 1))
		const seen: [string, number, number][] = []
		const apply = (type: keyof typeof data, step_id: string) => {
			state = applyEvent(state, event(type, step_id, state.seq + 1))
			seen.push([type, Math.round(state.progress * 1000), listOpenReviews(state).length])
		}
		apply('step_started', 'a')
		apply('step_progress', 'a')
		apply('review_required', 'a')
		expect(listOpenReviews(state)).toEqual([expect.objectContaining({ step_id: 'a', review_id: 'r', reason: 'low' })])
		apply('review_resolved', 'a')
		apply('step_completed', 'a')
		apply('step_started', 'b')
		apply('step_progress', 'b')
		apply('step_failed', 'b')
		expect(seen).toEqual([
			['step_started', 0, 0],
			['step_progress', 167, 0],
			['review_required', 167, 1],
			['review_resolved', 167, 0],
			['step_completed', 333, 0],
			['step_started', 333, 0],
			['step_progress', 500, 0],
			['step_failed', 333, 0],
		])
	})

	it('computes retry_at for any delay', () => {
		const retrying = event('step_retrying', 'a', 1)
		const late = { ...retrying, data: { ...retrying.data, delay_ms: Number.MAX_SAFE_INTEGER } } as PlanEvent
		const [step] = applyEvent(initialPlanState('p', 'external'), late).steps
		expect(step?.retry_at).toBe('+275760-09-13T00:00:00.000Z')
	})

	it('stores the seq of the event instead of a large result', () => {
		const large = {
			...event('step_completed', 'a', 7),
			data: { data: { text: 'x'.repeat(MAX_INLINE_RESULT) }, quality_score: null, artifacts: [] },
		} as unknown as PlanEvent
		const [step] = applyEvent(initialPlanState('p', 'external'), large).steps
		expect(step).toMatchObject({ result_seq: 7 })
		expect(step).not.toHaveProperty('result')
	})

	it('holds inline results up to 512 KiB in total', () => {
		const events = Array.from({ length: 200 }, (_, index) => {
			const completed = event('step_completed', 'a', index + 1)
			return { ...completed, step_id: `s${index}`, data: { ...completed.data, data: { text: 'x'.repeat(4000) } } } as PlanEvent
		})
		const { steps } = events.reduce(applyEvent, initialPlanState('p', 'external'))
		const held = steps.filter((step) => step.result !== undefined)
		expect(held.length).toBe(Math.floor((512 * 1024) / JSON.stringify({ text: 'x'.repeat(4000) }).length))
		expect(steps.filter((step) => step.result_seq !== undefined)).toHaveLength(200 - held.length)
	})
})

describe('The index of steps', () => {
	it('carries the index from state to state with the result of building it anew, for any declarations', () => {
		const ids = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f')
		const declared = fc.record({
			step_id: ids,
			depends_on: fc.uniqueArray(ids),
			type: fc.constantFrom('step_started', 'step_progress', 'review_required', 'step_retrying', 'step_completed'),
			progress: fc.double({ min: 0, max: 1, noNaN: true }),
		})
		fc.assert(
			fc.property(fc.array(declared, { maxLength: 40 }), (happened) => {
				let carried = initialPlanState('p', 'external')
				let fresh = carried
				for (const [index, { step_id, depends_on, type, progress }] of happened.entries()) {
					const content = { depends_on, progress, message: '', reason: 'manual', delay_ms: 0, data: {}, artifacts: [] }
					const event = {
						event_type: type,
						step_id,
						data: content,
						timestamp: '2026-01-01T00:00:00.000Z',
						seq: index + 1,
						cursor: '',
					}
					carried = applyEvent(carried, event as unknown as PlanEvent)
					fresh = applyEvent(structuredClone(fresh), event as unknown as PlanEvent)
				}
				expect(carried).toEqual(fresh)
			}),
		)
	})
})
