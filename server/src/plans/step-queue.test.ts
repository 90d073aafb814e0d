import { describe, expect, it } from 'vitest'
import { stepQueueSuite } from '#test/suites/step-queue.suite.js'
import { ManualClock } from '#test/support/manual-clock.js'
import { manualTime } from '#test/support/plans/test-planstream.js'
import { InProcessQueue, makeJobId } from './step-queue.js'

describe('InProcessQueue', () => {
	stepQueueSuite(() => {
		const clock = new ManualClock()
		const problems: string[] = []
		const onProblem = (message: string) => void problems.push(message)
		const queue = new InProcessQueue({ schedule: manualTime(clock).schedule, onProblem })
		const turn = () => new Promise<void>((resolve) => void setImmediate(resolve))
		return { queue, problems, advance: (ms) => clock.advance(ms), settled: () => turn().then(turn) }
	})

	it('leaves no timer behind when it is closed', async () => {
		const clock = new ManualClock()
		const queue = new InProcessQueue({ schedule: manualTime(clock).schedule, onProblem: () => undefined })
		queue.add({ tenant: 'default', plan_id: 'p', step_id: 'a', attempt: 1 }, 100)
		expect(clock.pending).toBe(1)
		await queue.close()
		expect(clock.pending).toBe(0)
	})
})

describe('makeJobId', () => {
	it('is unique and has only characters that other queues accept', () => {
		const job = { tenant: 'default', plan_id: 'p', step_id: 'a', attempt: 11 }
		expect(makeJobId(job)).toBe('default.p.a.11')
		expect(makeJobId({ ...job, plan_id: 'p-a', step_id: '1' })).not.toBe(makeJobId({ ...job, plan_id: 'p', step_id: 'a-1' }))
	})
})
