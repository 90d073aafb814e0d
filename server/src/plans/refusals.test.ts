import { normalisePlan } from '@planstream/shared'
import { planSpec } from '@planstream/shared/schemas'
import { describe, expect, it } from 'vitest'
import { PlanInMemory } from '#test/support/plans/plan-in-memory.js'
import { IdempotencyGuard } from './dispatcher.js'

const IDS = ['a', 'b', 'c'] as const

function planOf(quality?: { readonly min_score: number; readonly approve_score: number }): PlanInMemory {
	const steps = IDS.map((step_id) => ({ step_id, action: 'act', agent_type: 'any', depends_on: [], quality }))
	const plan = new PlanInMemory()
	plan.put({ kind: 'create', plan: normalisePlan(planSpec.parse({ query: 'q', steps }), 'p'), start: true })
	return plan
}

describe('refusals', () => {
	it.each([
		[['a', 'b'], 'ops[0].step_ids: Step c is not listed. List each of the 3 steps that may move.'],
		[['a', 'b', 'a'], 'ops[0].step_ids[2]: Step a is listed twice. List it once.'],
		[['a', 'b', 'z'], 'ops[0].step_ids[2]: There is no step z in this plan.'],
	])('name what is wrong with the order %j', (step_ids, message) => {
		expect(() => planOf().put({ kind: 'modify', ops: [{ op: 'reorder', step_ids }] })).toThrow(message)
	})

	it.each(['approve', 'reject'] as const)('reject a payload sent to %s a result, and leave the result unchanged', (decision) => {
		const plan = planOf({ min_score: 0.5, approve_score: 0.9 })
		plan.lease('a')
		plan.complete('a', 0.7)
		const answer = { kind: 'review', review_id: 'a.1', decision } as const
		expect(() => plan.put({ ...answer, payload: { mine: true } })).toThrow(
			`payload: The decision ${decision} does not change the result`,
		)
		expect(plan.put(answer)[0]).toMatchObject({ event_type: 'review_resolved', data: { decision } })
	})

	it('reject an idempotency key that another command used', () => {
		const key = { idempotency_key: 'k' }
		const pause = new IdempotencyGuard({ name: 'pause', mode: 'drain' }, key)
		const plan = planOf()
		const known = { name: 'pause', digest: pause.mark?.digest ?? '', seq: 2, status: 'running', revision: 1 } as const
		const fold = { ...plan.fold, commands: { k: known } }
		expect(pause.check(fold)).toBe('skip')
		const other = new IdempotencyGuard({ name: 'pause', mode: 'interrupt' }, key)
		expect(() => other.check(fold)).toThrow('was used for another pause')
		expect(() => new IdempotencyGuard({ name: 'cancel' }, key).check(fold)).toThrow('was used for a pause')
	})
})
