import type { PlanStatus, PlanSummary } from '@planstream/shared'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { openLog } from '../log/open.js'
import { CHANGES_INTERVAL_MS, diffPlans, digestPlans, watchPlans } from './subscribe.js'

function summary(plan_id: string, status: PlanStatus = 'running', created_at = '2026-01-01T00:00:00.000Z'): PlanSummary {
	const times = { created_at, started_at: null, finished_at: null, updated_at: created_at }
	return { plan_id, owner: 'external', status, finished: false, query: '', labels: {}, revision: 0, progress: 0, ...times }
}

const pages = fc.array(
	fc.uniqueArray(fc.record({ id: fc.integer({ min: 0, max: 9 }), status: fc.constantFrom<PlanStatus>('running', 'failed') }), {
		selector: ({ id }) => id,
		maxLength: 6,
	}),
	{ minLength: 1, maxLength: 6 },
)

describe('plan changes', () => {
	it('yield the last page to a reader that takes every change', () => {
		fc.assert(
			fc.property(pages, (all) => {
				let view = new Map<string, PlanSummary>()
				let shown: ReturnType<typeof digestPlans> | null = null
				for (const page of all) {
					const plans = page.map(({ id, status }) => summary(`p${id}`, status))
					const next = digestPlans(plans)
					const change = diffPlans(shown, plans, next)
					shown = next
					if (change?.reset) view = new Map()
					for (const plan of change?.plans ?? []) view.set(plan.plan_id, plan)
					for (const plan_id of change?.removed ?? []) view.delete(plan_id)
					const expected = new Map(plans.map((plan) => [plan.plan_id, plan]))
					expect(Object.fromEntries(view)).toEqual(Object.fromEntries(expected))
					expect(diffPlans(shown, plans, next)).toBeNull()
				}
			}),
		)
	})

	it('report changes within a pause once, after it, and leave nothing behind when the reader leaves', async () => {
		await using log = Object.assign(await openLog({ kind: 'memory' }), {
			[Symbol.asyncDispose]: () => log.close(),
		})
		let time = 0
		let held = 0
		const append = (plan_id: string, status: PlanStatus) => {
			const record = { event_id: `${time++}`, text: '{"event_type":"x"}', sent_digest: `${time}`, transient: false }
			return log.append({ tenant: 't', plan_id }, [record], { summary: summary(plan_id, status) })
		}
		await append('p', 'running')
		const pauses: { run: () => void; delayMs: number }[] = []
		const left = new AbortController()
		const changes = watchPlans(log, {
			query: { tenant: 't', limit: 2 },
			signal: left.signal,
			schedule: (run, delayMs) => {
				pauses.push({ run, delayMs })
				return { [Symbol.dispose]: () => undefined }
			},
			budget: {
				reserve: () => Promise.resolve({ [Symbol.dispose]: () => undefined }),
				hold: (bytes) => {
					held += bytes
					return {
						[Symbol.dispose]: () => {
							held -= bytes
						},
					}
				},
			},
		})
		const view = ({ value }: Awaited<ReturnType<typeof changes.next>>) =>
			value && { ...value, plans: value.plans.map(({ plan_id, status }) => `${plan_id} ${status}`) }
		expect(view(await changes.next())).toEqual({ reset: true, plans: ['p running'], removed: [] })
		expect(held).toBeGreaterThan(0)
		const next = changes.next()
		for (const status of ['paused', 'running', 'failed'] as const) await append('p', status)
		await append('q', 'running')
		await append('r', 'running')
		expect(pauses.map(({ delayMs }) => delayMs)).toEqual([CHANGES_INTERVAL_MS])
		pauses.shift()?.run()
		expect(view(await next)).toEqual({ reset: false, plans: ['r running', 'q running'], removed: ['p'] })
		const removal = changes.next()
		await log.remove({ tenant: 't', plan_id: 'r' })
		pauses.shift()?.run()
		expect(view(await removal)).toEqual({ reset: false, plans: ['p failed'], removed: ['r'] })
		const end = changes.next()
		left.abort()
		expect((await end).done).toBe(true)
		expect([log.metrics.watchers, held]).toEqual([0, 0])
	})
})
