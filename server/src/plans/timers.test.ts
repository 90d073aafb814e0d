import { createInput } from '@planstream/shared/schemas'
import { describe, expect, it } from 'vitest'
import { ManualClock } from '#test/support/manual-clock.js'
import { manualTime, TestPlanstream } from '#test/support/plans/test-planstream.js'
import { LOCAL_PRINCIPAL } from '../hub/principal.js'
import { openLog } from '../log/open.js'
import type { StepContext, StepResult } from './agent.js'

const INTERVAL_MS = 1000
const specOf = (metrics_interval_ms: number | null) =>
	createInput.parse({
		plan_id: 'p',
		query: 'q',
		metrics_interval_ms,
		steps: [
			{ step_id: 'a', action: 'work', agent_type: 'patient' },
			{ step_id: 'b', action: 'work', agent_type: 'patient' },
		],
	})

/** Starts a server on a manual clock, with an agent that ends when the test says so. */
async function start() {
	const clock = new ManualClock()
	const calls: { context: StepContext; end: (result: StepResult) => void }[] = []
	const execute = (_step: unknown, context: StepContext) =>
		new Promise<StepResult>((end) => {
			calls.push({ context, end })
		})
	const planstream = new TestPlanstream(await openLog({ kind: 'memory' }), [{ type: 'patient', execute }], manualTime(clock))
	const numbers: unknown[] = []
	planstream.hub.on('metrics_update', ({ data }) => void numbers.push(data))
	/** Resolves with the agent call of this index once the queue has reached it. */
	const call = async (index: number) => {
		await expect
			.poll(() => {
				clock.advance(0)
				return calls.length
			})
			.toBe(index + 1)
		return calls[index] as (typeof calls)[number]
	}
	return { clock, planstream, numbers, call }
}

describe('metrics', () => {
	it('are emitted once an interval, and only when something has happened, in a plan that requests them', async () => {
		const { clock, planstream, numbers, call } = await start()
		await using _planstream = planstream
		await planstream.executor.create(LOCAL_PRINCIPAL, specOf(INTERVAL_MS))
		const first = await call(0)
		first.context.output('hello')
		first.context.usage({ tokens: 7 })
		clock.advance(100)
		await first.context.drained()
		clock.advance(INTERVAL_MS - 100)
		await expect.poll(() => numbers.length).toBe(1)
		expect(numbers[0]).toEqual({
			window_ms: INTERVAL_MS,
			steps_pending: 1,
			steps_ready: 0,
			steps_running: 1,
			steps_retrying: 0,
			steps_awaiting_review: 0,
			steps_completed: 0,
			steps_failed: 0,
			steps_skipped: 0,
			steps_cancelled: 0,
			attempts: 1,
			events: 4,
			output_characters: 5,
		})
		clock.advance(INTERVAL_MS)
		await expect.poll(() => clock.pending).toBe(1)
		first.end({ data: {} })
		await call(1)
		clock.advance(INTERVAL_MS)
		await expect.poll(() => numbers.length).toBe(2)
		expect(numbers[1]).toMatchObject({
			window_ms: 2 * INTERVAL_MS,
			steps_completed: 1,
			steps_running: 1,
			attempts: 2,
			events: 7,
			'usage.tokens': 7,
		})
	})

	it('stop with the plan and leave no timer', async () => {
		const { clock, planstream, numbers, call } = await start()
		await using _planstream = planstream
		await planstream.executor.create(LOCAL_PRINCIPAL, specOf(INTERVAL_MS))
		const first = await call(0)
		expect(planstream.executor.report().deadlines).toBe(1)
		first.end({ data: {} })
		const second = await call(1)
		second.end({ data: {} })
		await planstream.events('p')
		expect(planstream.executor.report().deadlines).toBe(0)
		expect(clock.pending).toBe(0)
		expect(numbers).toEqual([])
	})

	it('are not emitted in a plan that does not request them', async () => {
		const { planstream, call } = await start()
		await using _planstream = planstream
		await planstream.executor.create(LOCAL_PRINCIPAL, specOf(null))
		await call(0)
		expect(planstream.executor.report().deadlines).toBe(0)
	})
})
