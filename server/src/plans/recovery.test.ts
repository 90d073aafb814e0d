import { createInput } from '@planstream/shared/schemas'
import { describe, expect, it, vi } from 'vitest'
import { ManualAgent } from '#test/support/agents/manual-agent.js'
import { ManualClock } from '#test/support/manual-clock.js'
import { manualTime, TestPlanstream } from '#test/support/plans/test-planstream.js'
import { LOCAL_PRINCIPAL } from '../hub/principal.js'
import { openLog } from '../log/open.js'

const spec = (plan_id: string) =>
	createInput.parse({ plan_id, query: 'q', steps: [{ step_id: `step_of_${plan_id}`, action: 'hold', agent_type: 'held' }] })

describe('recovery', () => {
	it('resumes every plan except an unreadable one, which it reports, counts and retries', async () => {
		const log = await openLog({ kind: 'memory' })
		const before = new TestPlanstream(log, [new ManualAgent(true)])
		for (const plan_id of ['p1', 'p2', 'p3']) await before.executor.create(LOCAL_PRINCIPAL, spec(plan_id))
		await before.executor.stop()
		const broken = { tenant: 'default', plan_id: 'p2' }
		const summary = (await log.head(broken))?.summary
		if (summary == null) throw new Error('The plan has no summary.')
		await log.remove(broken)
		const staged = { tenant: 'default', plan_id: 'staged' }
		await log.begin(staged, { seq: 3, fingerprint: '0'.repeat(16), base: 'what nobody wrote', reason: 'trimmed' }, 3)
		await log.rename(staged, broken, summary)

		const clock = new ManualClock()
		const agent = new ManualAgent(true)
		await using after = new TestPlanstream(log, [agent], manualTime(clock))
		await after.executor.recover()
		const stuck = 'Plans that could not be recovered after the start: 1. They are retried every minute; the log has the reasons.'
		const degraded = { component: 'recovery', status: 'degraded', detail: stuck }
		const recovery = () => after.health.components.find(({ component }) => component === 'recovery')
		expect(recovery()).toEqual(degraded)
		const told = 'Plan p2 could not be recovered after the start. The others continue, and it is retried every minute.'
		expect(after.problems).toEqual([told])
		await agent.reaches(2)
		expect([...agent.running.keys()].sort()).toEqual(['step_of_p1', 'step_of_p3'])

		const { pending } = clock
		clock.advance(60_000)
		expect(clock.pending).toBe(pending - 1)
		await vi.waitFor(() => expect(clock.pending).toBe(pending))
		expect(recovery()).toEqual(degraded)
		await log.remove(broken)
		clock.advance(60_000)
		const ok = { component: 'recovery', status: 'ok', detail: null }
		await vi.waitFor(() => expect(recovery()).toEqual(ok))
		expect(after.problems).toEqual([told])
		expect(clock.pending).toBe(pending - 1)
	})
})
