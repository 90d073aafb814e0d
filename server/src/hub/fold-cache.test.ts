import { describe, expect, it } from 'vitest'
import { MemoryLog } from '../log/memory.js'
import { TailLog } from '../log/tail.js'
import { FoldCache } from './fold-cache.js'
import { Hub } from './hub.js'
import type { Principal } from './principal.js'

const RESULT = { text: 'x'.repeat(3000) }

async function withPlans(count: number) {
	const log = new TailLog(new MemoryLog())
	const hub = new Hub({ log, clock: () => 0, onProblem: (message) => expect.unreachable(message) })
	const principal: Principal = { tenant: 'default', actor: { type: 'user', id: 'u' }, scopes: new Set(['events:publish']) }
	const plans = Array.from({ length: count }, (_, index) => ({ tenant: 'default', plan_id: `p${index}` }))
	const data = { status: 'success', data: RESULT, quality_score: null, progress: 1, artifacts: [] } as const
	const event = { event_type: 'step_completed', step_id: 'a', data } as const
	await Promise.all(plans.map(({ plan_id }) => hub.publish(principal, { plan_id, events: [event], sent: [event] })))
	return { log, hub, plans }
}

describe('FoldCache', () => {
	it('caches folds up to a number of bytes and rebuilds the others from their logs', async () => {
		const { log, plans } = await withPlans(20)
		const maxBytes = 50_000
		const states = new FoldCache(log, () => ({ states_bytes: maxBytes, working_bytes: 1 }))
		for (const _ of [1, 2]) {
			for (const plan of plans) {
				const found = await states.current(plan)
				expect(found?.fold.state).toMatchObject({ plan_id: plan.plan_id, seq: 1, steps: [{ result: RESULT }] })
				expect(states.metrics.bytes).toBeLessThanOrEqual(maxBytes)
			}
		}
		const { plans: kept, bytes } = states.metrics
		expect(kept).toBeGreaterThan(4)
		expect(bytes).toBeGreaterThan(kept * RESULT.text.length)
	})

	it('rebuilds a fold larger than its limit without caching it', async () => {
		const { log, plans } = await withPlans(1)
		const states = new FoldCache(log, () => ({ states_bytes: 1000, working_bytes: 1 }))
		for (const plan of plans) expect((await states.current(plan))?.fold.state.seq).toBe(1)
		expect(states.metrics).toEqual({ plans: 0, bytes: 0 })
	})

	it('keeps a writer only while it appends', async () => {
		const { hub, plans } = await withPlans(20)
		expect(hub.report()).toMatchObject({ writers: 0, states: { plans: 20 } })
		const writing = plans.map((plan) => hub.commit(plan, () => []).catch(() => undefined))
		expect(hub.report().writers).toBe(20)
		await Promise.all(writing)
		expect(hub.report().writers).toBe(0)
	})
})
