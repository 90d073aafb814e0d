import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { PlanEvent, PlanSpec } from '@planstream/shared'
import { createInput } from '@planstream/shared/schemas'
import { describe, expect, it } from 'vitest'
import { isolatedAgent } from '../../../server/src/agents/isolated/isolated-agent.js'
import { scriptedAgent } from '../../../server/src/agents/scripted.js'
import { LOCAL_PRINCIPAL } from '../../../server/src/hub/principal.js'
import { openLog } from '../../../server/src/log/open.js'
import { keepAliveSchedule, type Schedule } from '../../../server/src/ops/clock.js'
import type { Agent } from '../../../server/src/plans/agent.js'
import { moduleUrl } from '../../support/agents/isolated/module-url.js'
import { startPlanstream, TestPlanstream } from '../../support/plans/test-planstream.js'

const PROCESSES_MS = 60_000
const GRACE_MS = 10_000

const module = moduleUrl('misbehaving')
const agents = () => [scriptedAgent(), isolatedAgent({ type: 'misbehaving', module, memoryMb: 64 })]

/** One attempt of what is given; in this process by a script, in one of its own by an action. */
const bad = (
	given: { input: NonNullable<PlanSpec['steps'][number]['input']> } | { action: string },
	timeout_ms: number | null = null,
) => ({
	query: 'q',
	steps: [
		'input' in given
			? { step_id: 'bad', action: 'play', agent_type: 'scripted', timeout_ms, retry: { max_attempts: 1 }, ...given }
			: { step_id: 'bad', agent_type: 'misbehaving', timeout_ms, retry: { max_attempts: 1 }, ...given },
	],
})
const good = {
	query: 'q',
	steps: ['a', 'b', 'c'].map((step_id) => ({
		step_id,
		action: 'play',
		agent_type: 'scripted',
		input: { updates: [{ output: 'x' }, { progress: 0.5 }, { wait_ms: 1 }], result: { step_id } },
	})),
}

const lastOf = (events: readonly PlanEvent[]) => events.filter((event) => event.step_id === 'bad').at(-1)
const outputOf = (events: readonly PlanEvent[]) =>
	events.flatMap((event) => (event.event_type === 'step_output' ? [event.data.delta ?? ''] : [])).join('')

describe('an agent that misbehaves', { timeout: PROCESSES_MS }, () => {
	it.each([
		['throws', 'upstream', bad({ input: { fail: { times: 9, code: 'upstream' } } })],
		['hangs', 'timeout', bad({ input: { hang: true } }, 50)],
		['returns garbage', 'invalid_event', bad({ input: { garbage: true } })],
		['returns 10 MB', 'too_large', bad({ input: { result_bytes: 10_000_000 } })],
		['throws in a process of its own', 'agent_error', bad({ action: 'throw' })],
		['throws there where nobody catches it', 'agent_crashed', bad({ action: 'throw_later' })],
		['hangs there and ignores its signal', 'timeout', bad({ action: 'ignore_signal' }, 500)],
		['blocks its event loop there', 'timeout', bad({ action: 'block' }, 500)],
		['exits there', 'agent_exited', bad({ action: 'exit' })],
		['runs out of memory there', 'agent_out_of_memory', bad({ action: 'fill_heap' })],
		['returns nothing there', 'invalid_event', bad({ action: 'return_nothing' })],
		['reports no usage there', 'bad_request', bad({ action: 'use_null' })],
		['writes a number there', 'bad_request', bad({ action: 'say_five' })],
		['returns 10 MB there', 'too_large', bad({ action: 'return_too_much' })],
		['says more there than there is room for', 'too_large', bad({ action: 'flood_at_once' })],
	])('fails its own step when it %s (%s), and the plan beside it finishes', async (_what, code, plan) => {
		await using planstream = await startPlanstream(agents())
		const [failed, finished] = await Promise.all([planstream.run(plan), planstream.run(good)])
		expect(lastOf(failed)).toMatchObject({ event_type: 'step_failed', data: { error: { code } } })
		expect(failed.at(-1)?.event_type).toBe('plan_failed')
		expect(finished.at(-1)).toMatchObject({ event_type: 'plan_completed', data: { completed_steps: 3 } })
		expect(planstream.problems).toEqual([])
	})

	it.each([
		['in this process', bad({ input: { updates: [{ output: 'x', repeat: 100_000 }] } })],
		['in its own', bad({ action: 'flood' })],
	])('may send 100,000 deltas %s: they are joined, none is lost, and the plan beside it finishes', async (_where, plan) => {
		await using planstream = await startPlanstream(agents())
		const [flooded, finished] = await Promise.all([planstream.run(plan), planstream.run(good)])
		expect(outputOf(flooded)).toBe('x'.repeat(100_000))
		expect(flooded.length).toBeLessThan(100)
		expect(finished.at(-1)?.event_type).toBe('plan_completed')
	})

	it.each([
		['hangs', bad({ input: { hang: true } })],
		['blocks its event loop in a process of its own', bad({ action: 'block' })],
		['hangs there and ignores its signal', bad({ action: 'ignore_signal' })],
		['floods there without end', bad({ action: 'flood_for_good' })],
	])('disturbs no other plan while it %s, and runs until it is cancelled', async (_what, plan) => {
		const timer = new GraceTimer()
		await using planstream = new TestPlanstream(await openLog({ kind: 'memory' }), agents(), {
			now: Date.now,
			schedule: timer.schedule,
		})
		await planstream.executor.create(LOCAL_PRINCIPAL, createInput.parse({ plan_id: 'p', ...plan }))
		await reached(planstream, 'step_started')
		for (let plans = 0; plans < 5; plans++) expect((await planstream.run(good)).at(-1)?.event_type).toBe('plan_completed')
		expect((await planstream.hub.state(LOCAL_PRINCIPAL, 'p'))?.steps[0]?.status).toBe('running')
		await planstream.executor.command(LOCAL_PRINCIPAL, 'p', { kind: 'cancel' })
		timer.endGrace()
		await reached(planstream, 'plan_cancelled')
		expect(planstream.executor.report().attempts).toBe(0)
	})

	it('keeps no more than an attempt may have waiting when it sends 100 MB without a pause', async () => {
		const kept: number[] = []
		const execute: Agent['execute'] = (_step, context) => {
			const before = heapInUse()
			for (let delta = 0; delta < 100_000; delta++) context.output(`${delta}`.padEnd(1000, 'x'))
			kept.push(heapInUse() - before)
			return Promise.resolve({ data: {} })
		}
		await using planstream = await startPlanstream([{ type: 'scripted', execute }])
		const events = await planstream.run(bad({ input: {} }))
		expect(lastOf(events)).toMatchObject({ event_type: 'step_failed', data: { error: { code: 'too_large' } } })
		expect(kept[0]).toBeLessThan(32 * 1024 * 1024)
	})

	it('keeps a plan pausing while it blocks, until it is stopped after the grace period', async () => {
		const timer = new GraceTimer()
		await using planstream = new TestPlanstream(await openLog({ kind: 'memory' }), agents(), {
			now: Date.now,
			schedule: timer.schedule,
		})
		const spec = createInput.parse({ plan_id: 'p', ...bad({ action: 'block' }) })
		await planstream.executor.create(LOCAL_PRINCIPAL, spec)
		await reached(planstream, 'step_output')
		const paused = await planstream.executor.command(LOCAL_PRINCIPAL, 'p', { kind: 'pause', mode: 'interrupt' })
		expect(paused.status).toBe('pausing')
		const state = await planstream.hub.state(LOCAL_PRINCIPAL, 'p')
		expect(state?.status).toBe('pausing')
		timer.endGrace()
		await reached(planstream, 'plan_paused')
		expect(planstream.executor.report().attempts).toBe(0)
		await planstream.executor.command(LOCAL_PRINCIPAL, 'p', { kind: 'cancel' })
		expect((await planstream.events('p')).map((event) => event.event_type)).toEqual([
			'plan_created',
			'plan_started',
			'step_started',
			'step_output',
			'plan_pausing',
			'step_retrying',
			'plan_paused',
			'step_cancelled',
			'plan_cancelled',
		])
	})
})

/** Bytes of heap that something still refers to. */
function heapInUse(): number {
	setFlagsFromString('--expose-gc')
	runInNewContext('gc')()
	return process.memoryUsage().heapUsed
}

/** The timers of this process, but for the grace, which is over when the test says so. */
class GraceTimer {
	#waiting: (() => void)[] = []

	readonly schedule: Schedule = (callback, delayMs) => {
		if (delayMs !== GRACE_MS) return keepAliveSchedule(callback, delayMs)
		this.#waiting.push(callback)
		return { [Symbol.dispose]: () => {} }
	}

	endGrace(): void {
		for (const callback of this.#waiting.splice(0)) callback()
	}
}

/** Resolves when the plan has an event of a type. */
async function reached({ hub }: TestPlanstream, type: PlanEvent['event_type']): Promise<void> {
	const signal = AbortSignal.timeout(PROCESSES_MS)
	const request = { after: 'start', snapshot: false, follow: 'always', signal } as const
	for await (const item of hub.subscribe(LOCAL_PRINCIPAL, 'p', request)) {
		if (item.kind === 'event' && item.stored.text.includes(`"event_type":"${type}"`)) return
	}
	throw new Error(`there was no ${type}`)
}
