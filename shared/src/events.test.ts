import { describe, expect, it } from 'vitest'
import { eventInput, toUtcMillis } from './events.js'
import { normalisePlan } from './normalise.js'
import { normalisedPlan, planSpec } from './plans.js'

const progress = { event_type: 'step_progress', step_id: 'a', data: { progress: 0.5 } }

describe('eventInput', () => {
	it('fills in the defaults of its type and keeps unknown fields', () => {
		const event = eventInput.parse({ ...progress, data: { progress: 0.5, extra: [1] } })
		expect(event.data).toEqual({ progress: 0.5, message: '', extra: [1] })
	})

	it.each([
		['an unknown type', { event_type: 'nope', data: {} }],
		['a live-only type', { event_type: 'ping', data: {} }],
		['no step in a step event', { ...progress, step_id: null }],
		['a plan event with a step', { event_type: 'plan_started', step_id: 'a', data: { query: 'q', total_steps: 1 } }],
		['progress above 1', { ...progress, data: { progress: 1.5 } }],
		['an actor', { ...progress, actor: { type: 'user', id: 'me' } }],
		['a sequence number', { ...progress, seq: 4 }],
		["the server's prefix in its id", { ...progress, event_id: 'cmd.x' }],
		['a newline in its id', { ...progress, event_id: 'a\n' }],
		['a slash in the step id', { ...progress, step_id: 'a/b' }],
		['an invalid timestamp', { ...progress, timestamp: 'yesterday' }],
	])('rejects %s', (_, event) => {
		expect(eventInput.safeParse(event).success).toBe(false)
	})
})

describe('the output of a step', () => {
	const parse = (data: object) => eventInput.safeParse({ event_type: 'step_output', step_id: 'a', data })

	it.each([{ delta: 'x' }, { delta: '' }, { value: { n: 1 } }, { value: null }])(
		'is taken with one of delta and value: %j',
		(data) => {
			expect(parse(data).success).toBe(true)
		},
	)

	it.each([{}, { level: 'info' }, { delta: 'x', value: 1 }])('is refused with both or neither: %j', (data) => {
		expect(parse(data).error?.issues).toMatchObject([{ path: ['data'], message: expect.stringContaining('either delta') }])
	})
})

describe('toUtcMillis', () => {
	it.each([
		['2026-01-02T03:04:05.678901Z', '2026-01-02T03:04:05.678Z'],
		['2026-01-02T03:04:05', '2026-01-02T03:04:05.000Z'],
		['2026-01-02T03:04:05.5+02:00', '2026-01-02T01:04:05.500Z'],
		['2026-01-02T03:04', '2026-01-02T03:04:00.000Z'],
		['2024-02-29T03:04:05Z', '2024-02-29T03:04:05.000Z'],
		['2026-02-29T03:04:05Z', null],
		['2026-02-30T03:04:05Z', null],
		['2026-04-31T03:04:05Z', null],
		['2026-04-00T03:04:05Z', null],
		['2026-13-02T03:04:05Z', null],
		['2026-00-02T03:04:05Z', null],
		['2026-01-02', null],
	])('converts %s to %s', (text, utc) => {
		expect(toUtcMillis(text)).toBe(utc)
	})
})

describe('normalisePlan', () => {
	it('turns a bare list of steps into a plan in which each step depends on the one before', () => {
		const bare = {
			plan_id: 'p',
			query: 'q',
			research_type: 'quick',
			steps: [
				{ step_id: 'a', action: 'search', agent_type: 'x' },
				{ step_id: 'b', action: 'write', agent_type: 'x' },
			],
		}
		const plan = normalisePlan(planSpec.parse(bare), 'p')
		expect(normalisedPlan.parse(plan)).toEqual(plan)
		expect(plan.steps.map(({ depends_on, implied, name }) => [depends_on, implied, name])).toEqual([
			[[], true, 'search'],
			[['a'], true, 'write'],
		])
	})
})
