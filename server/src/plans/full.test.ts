import { normalisePlan, type ParsedEvent } from '@planstream/shared'
import { planSpec } from '@planstream/shared/schemas'
import { describe, expect, it } from 'vitest'
import { PlanInMemory } from '#test/support/plans/plan-in-memory.js'
import { decide } from './rules/decide.js'

const WORLD = { now: 0, random: 0.5, live: new Set<string>(), agents: new Map([['any', {}]]) }

describe('a managed plan with a million events', () => {
	it('rejects reports of a step and can still end', () => {
		const plan = new PlanInMemory()
		const steps = [{ step_id: 'a', action: 'act', agent_type: 'any' }]
		plan.put({ kind: 'create', plan: normalisePlan(planSpec.parse({ query: 'q', steps }), 'p'), start: true })
		plan.lease('a')
		const lease = plan.leaseOf('a')
		const at = (seq: number) => ({ ...plan.fold, state: { ...plan.fold.state, seq } })
		const output: ParsedEvent = { event_type: 'step_output', step_id: 'a', attempt: 1, data: { channel: 'text', delta: 'x' } }
		const report = (seq: number, ...events: ParsedEvent[]) => decide('p', at(seq), { kind: 'report', lease, events }, WORLD)
		expect(report(999_998, output, output)).toEqual([output, output])
		expect(() => report(999_999, output, output)).toThrow(
			expect.objectContaining({ code: 'plan_full', facts: { plan_id: 'p', limit: 1_000_000 } }),
		)

		const error = { code: 'plan_full', message: 'full', retryable: false }
		const ended = decide('p', at(1_000_000), { kind: 'failure', lease, reason: 'error', error, duration_ms: 1 }, WORLD)
		expect(ended.map(({ event_type }) => event_type)).toEqual(['step_failed', 'plan_failed'])
		const result = { data: {}, quality_score: 1, artifacts: [], usage: null, duration_ms: 1 }
		const completed = decide('p', at(1_000_000), { kind: 'result', lease, result }, WORLD)
		expect(completed.map(({ event_type }) => event_type)).toEqual(['step_completed', 'plan_completed'])
	})
})
