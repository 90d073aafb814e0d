import { setTimeout as wait } from 'node:timers/promises'
import type { PlanEvent, PlanSpec } from '@planstream/shared'
import { createInput } from '@planstream/shared/schemas'
import { describe, expect, it } from 'vitest'
import { startPlanstream, TestPlanstream } from '#test/support/plans/test-planstream.js'
import { LOCAL_PRINCIPAL } from '../hub/principal.js'
import { openLog } from '../log/open.js'
import type { Agent, StepContext } from './agent.js'

type StepFields = Partial<PlanSpec['steps'][number]>
const quarters = { updates: [{ progress: 0.25 }, { progress: 0.5 }, { progress: 0.75 }], result: { found: 3 } }
const step = (step_id: string, fields: StepFields = {}) => ({
	step_id,
	action: 'search',
	agent_type: 'scripted',
	input: quarters,
	...fields,
})
const quick = { initial_ms: 1, jitter: false }

const typesOf = (events: readonly PlanEvent[]) => events.map((event) => event.event_type)
const ofStep = (events: readonly PlanEvent[], step_id: string) => typesOf(events.filter((event) => event.step_id === step_id))

/** Creates an agent from a function of the test. */
function agent(execute: (context: StepContext, step_id: string) => Promise<unknown>): Agent {
	return {
		type: 'scripted',
		execute: async (given, context) => ({ data: { value: await execute(context, given.step_id) } }),
	}
}

describe('Executor', () => {
	it('writes the 17 events of the original system in order, after plan_created', async () => {
		await using planstream = await startPlanstream()
		const events = await planstream.run({ query: 'q', steps: [step('a'), step('b'), step('c')] })
		const each = ['step_started', 'step_progress', 'step_progress', 'step_progress', 'step_completed']
		expect(typesOf(events)).toEqual(['plan_created', 'plan_started', ...each, ...each, ...each, 'plan_completed'])
		expect(events.map((event) => event.seq)).toEqual(events.map((_, index) => index + 1))
		const progress = events.flatMap((event) => (event.event_type === 'step_progress' ? [event.data.progress] : []))
		expect(progress).toEqual([0.25, 0.5, 0.75, 0.25, 0.5, 0.75, 0.25, 0.5, 0.75])
		expect(planstream.problems).toEqual([])
	})

	it('accepts a plan with only the four required fields', async () => {
		await using planstream = await startPlanstream()
		const steps = [{ step_id: 'step_1', action: 'search', agent_type: 'scripted' }]
		const events = await planstream.run({ plan_id: 'plan_123', query: 'Which?', research_type: 'comprehensive', steps })
		expect(events.at(-1)).toMatchObject({
			event_type: 'plan_completed',
			plan_id: 'plan_123',
			data: { total_steps: 1, completed_steps: 1 },
		})
	})

	it('runs independent steps in parallel up to max_concurrency, and then dependents with their results', async () => {
		let running = 0
		let most = 0
		const release: (() => void)[] = []
		const counting = agent(async (context, step_id) => {
			if (step_id === 'join') return Object.keys(context.inputs).sort()
			most = Math.max(most, ++running)
			await new Promise<void>((resolve) => {
				release.push(resolve)
				if (release.length >= 2) for (const go of release.splice(0)) go()
			})
			running--
			return step_id
		})
		await using planstream = await startPlanstream([counting])
		const free = ['a', 'b', 'c', 'd'].map((id) => step(id, { depends_on: [] }))
		const events = await planstream.run({
			query: 'q',
			max_concurrency: 2,
			steps: [...free, step('join', { depends_on: ['a', 'b', 'c', 'd'] })],
		})
		expect(most).toBe(2)
		expect(events.at(-1)).toMatchObject({ data: { result: { join: { value: ['a', 'b', 'c', 'd'] } } } })
	})

	it('adds up the usage of an attempt under any name', async () => {
		await using planstream = await startPlanstream()
		const updates = [{ usage: { constructor: 2, tokens: 5 } }, { usage: { constructor: 3 } }]
		const events = await planstream.run({ query: 'q', steps: [step('a', { input: { updates } })] })
		const completed = events.find((event) => event.event_type === 'step_completed')
		expect(completed?.data).toMatchObject({ usage: { constructor: 5, tokens: 5 } })
	})

	it('retries a failed step up to max_attempts, with the same step key and a new attempt number', async () => {
		const seen: [number, string][] = []
		const failing = agent((context) => {
			seen.push([context.attempt, context.step_key])
			if (context.attempt < 3) return Promise.reject(Object.assign(new Error('not yet'), { code: 'upstream' }))
			return Promise.resolve('done')
		})
		await using planstream = await startPlanstream([failing])
		const events = await planstream.run({ plan_id: 'p', query: 'q', steps: [step('a', { retry: quick })] })
		expect(ofStep(events, 'a')).toEqual([
			'step_started',
			'step_retrying',
			'step_started',
			'step_retrying',
			'step_started',
			'step_completed',
		])
		expect(seen).toEqual([
			[1, 'default/p/a'],
			[2, 'default/p/a'],
			[3, 'default/p/a'],
		])
		const retry = events.find((event) => event.event_type === 'step_retrying')
		expect(retry).toMatchObject({
			data: { reason: 'error', next_attempt: 2, delay_ms: 1, error: { code: 'upstream', message: 'not yet' } },
		})
	})

	it('fails a plan when a required step fails permanently, after everything else that can run has run', async () => {
		const input = { fail: { times: 9, code: 'broken', message: 'no', retryable: false } }
		await using planstream = await startPlanstream()
		const steps = [step('a', { input }), step('b'), step('free', { depends_on: [] })]
		const events = await planstream.run({ query: 'q', steps })
		expect(ofStep(events, 'b')).toEqual([])
		expect(ofStep(events, 'free')).toContain('step_completed')
		expect(events.at(-1)).toMatchObject({
			event_type: 'plan_failed',
			data: { failed_step_ids: ['a'], error: { message: expect.stringContaining('no') } },
		})
	})

	it('skips direct or all dependents of a failed step, or passes them null, as the step says', async () => {
		const input = { fail: { times: 9, code: 'broken', message: 'no', retryable: false } }
		await using planstream = await startPlanstream()
		const skipping = await planstream.run({
			query: 'q',
			steps: [step('a', { input, on_failure: 'skip_dependents' }), step('b'), step('c')],
		})
		expect(ofStep(skipping, 'c')).toEqual(['step_skipped'])
		expect(skipping.at(-1)).toMatchObject({ event_type: 'plan_completed', data: { skipped_steps: 2, failed_steps: 1 } })
		const echo = { echo_inputs: true }
		const going = await planstream.run({
			query: 'q',
			steps: [step('a', { input, on_failure: 'continue' }), step('b', { input: echo })],
		})
		expect(going.at(-1)).toMatchObject({ event_type: 'plan_completed' })
		expect(going.find((event) => event.event_type === 'step_completed')?.data).toMatchObject({ data: { a: null } })
	})

	it('approves a step by its score and named checks, and retries it below them', async () => {
		const quality = { min_score: 0.6, approve_score: 0.6, dimensions: ['depth'] }
		const good = { result: {}, quality_score: 0.9, checks: [{ name: 'depth', score: 0.8, passed: true }] }
		await using planstream = await startPlanstream()
		const passed = await planstream.run({ query: 'q', steps: [step('a', { quality, input: good })] })
		expect(ofStep(passed, 'a')).toEqual(['step_started', 'quality_check', 'step_completed'])
		expect(passed.at(-1)).toMatchObject({ data: { quality_score: 0.9 } })
		const poor = { ...good, quality_score: 0.3 }
		const rejected = await planstream.run({
			query: 'q',
			steps: [step('a', { quality, input: poor, retry: { ...quick, max_attempts: 2 } })],
		})
		expect(ofStep(rejected, 'a')).toEqual([
			'step_started',
			'quality_check',
			'step_retrying',
			'step_started',
			'quality_check',
			'step_failed',
		])
		expect(rejected.at(-1)).toMatchObject({ event_type: 'plan_failed' })
	})
})

describe('an agent that misbehaves', () => {
	it('keeps its slot after its timeout until it really ends, and is only then retried', async () => {
		let live = 0
		let most = 0
		const ends: (() => void)[] = []
		const deaf = agent(async (context) => {
			most = Math.max(most, ++live)
			if (context.attempt === 1) await new Promise<void>((resolve) => ends.push(resolve))
			live--
			return context.attempt
		})
		await using planstream = await startPlanstream([deaf])
		planstream.hub.on('step_retrying', () => {
			setImmediate(() => ends.pop()?.())
		})
		const events = await planstream.run({ query: 'q', steps: [step('a', { timeout_ms: 5, retry: quick })] })
		expect(ofStep(events, 'a')).toEqual(['step_started', 'step_retrying', 'step_started', 'step_completed'])
		expect(events.find((event) => event.event_type === 'step_retrying')?.data).toMatchObject({ reason: 'timeout' })
		expect(most).toBe(1)
	})

	it('fails only its own step, whatever it returns', async () => {
		await using planstream = await startPlanstream()
		for (const input of [{ garbage: true }, { result_bytes: 10_000_000 }]) {
			const events = await planstream.run({ query: 'q', steps: [step('a', { input, retry: { max_attempts: 1 } })] })
			expect(ofStep(events, 'a').at(-1)).toBe('step_failed')
		}
		const healthy = await planstream.run({ query: 'q', steps: [step('a')] })
		expect(healthy.at(-1)?.event_type).toBe('plan_completed')
	})

	it('may write a hundred thousand deltas, which are joined in order without loss', async () => {
		const input = { updates: [{ output: 'x', repeat: 100_000 }], result: {} }
		await using planstream = await startPlanstream()
		const events = await planstream.run({ query: 'q', steps: [step('a', { input })] })
		const output = events.flatMap((event) => (event.event_type === 'step_output' ? [event.data.delta ?? ''] : []))
		expect(output.join('')).toBe('x'.repeat(100_000))
		expect(output.length).toBeLessThan(100)
	})

	it('cannot change its result after it has returned it', async () => {
		const data = { kept: 1 }
		const changing: Agent = { type: 'scripted', execute: async () => ({ data }) }
		await using planstream = await startPlanstream([changing])
		const events = await planstream.run({ plan_id: 'p', query: 'q', steps: [step('a')] })
		data.kept = 2
		expect(events.find((event) => event.event_type === 'step_completed')?.data).toMatchObject({ data: { kept: 1 } })
		expect((await planstream.hub.state(LOCAL_PRINCIPAL, 'p'))?.steps[0]?.result).toEqual({ kept: 1 })
	})
})

describe('an attempt that is cut', () => {
	it.each([
		['pause', { kind: 'pause', mode: 'interrupt' }, ['step_retrying', 'paused']],
		['cancel', { kind: 'cancel' }, ['step_cancelled', 'plan_cancelled']],
	] as const)('ends with the reason of the command when a %s interrupts it', async (_, command, expected) => {
		const messages: string[] = []
		const waiting = agent(async ({ signal }) => {
			await wait(2 ** 30, null, { signal }).catch(() => messages.push((signal.reason as Error).message))
			signal.throwIfAborted()
		})
		await using planstream = await startPlanstream([waiting])
		const spec = createInput.parse({ plan_id: 'p', query: 'q', steps: [step('a')] })
		await planstream.executor.create(LOCAL_PRINCIPAL, spec)
		await reached(planstream, 'a')
		const ended = new Promise<readonly string[]>((resolve) => {
			planstream.hub.on('step_retrying', ({ event_type, data }) => resolve([event_type, data.reason]))
			planstream.hub.on('step_cancelled', ({ event_type, data }) => resolve([event_type, data.reason]))
		})
		await planstream.executor.command(LOCAL_PRINCIPAL, 'p', command)
		expect(await ended).toEqual(expected)
		expect(messages).toEqual(['The plan was paused or cancelled.'])
	})
})

describe('create and start', () => {
	it('return the same plan for the same request, and a conflict for another one under its id', async () => {
		await using planstream = await startPlanstream()
		const spec = createInput.parse({ plan_id: 'p', query: 'q', steps: [step('a')], start: false })
		const first = await planstream.executor.create(LOCAL_PRINCIPAL, spec)
		expect(first).toMatchObject({ plan_id: 'p', changed: true, status: 'pending', revision: 1 })
		expect(await planstream.executor.create(LOCAL_PRINCIPAL, spec)).toEqual({ ...first, changed: false })
		await expect(planstream.executor.create(LOCAL_PRINCIPAL, { ...spec, query: 'other' })).rejects.toMatchObject({
			code: 'conflict',
		})
		expect(await planstream.executor.command(LOCAL_PRINCIPAL, 'p', { kind: 'start' })).toMatchObject({
			changed: true,
			status: 'running',
		})
		await planstream.events('p')
		await expect(planstream.executor.command(LOCAL_PRINCIPAL, 'p', { kind: 'start' })).rejects.toMatchObject({
			code: 'illegal_transition',
			facts: { from: 'completed' },
		})
		await expect(planstream.executor.command(LOCAL_PRINCIPAL, 'none', { kind: 'start' })).rejects.toMatchObject({
			code: 'not_found',
		})
	})

	it('reject a plan with an unknown agent and name the path', async () => {
		await using planstream = await startPlanstream()
		const spec = createInput.parse({ query: 'q', steps: [step('a', { agent_type: 'none' })] })
		await expect(planstream.executor.create(LOCAL_PRINCIPAL, spec)).rejects.toMatchObject({
			facts: { path: 'steps[0].agent_type' },
		})
	})
})

describe('after the process has ended', () => {
	it('reports a stop as shutdown and a crash as worker_lost, and never repeats completed steps', async () => {
		const log = await openLog({ kind: 'memory' })
		const runs: string[] = []
		const hanging = agent(async (context, step_id) => {
			runs.push(step_id)
			if (step_id === 'b' && context.attempt < 3) await wait(2 ** 30, null, { signal: context.signal })
			return step_id
		})
		const spec = createInput.parse({ plan_id: 'p', query: 'q', steps: [step('a'), step('b'), step('c')] })
		const first = new TestPlanstream(log, [hanging])
		await first.executor.create(LOCAL_PRINCIPAL, spec)
		await reached(first, 'b')
		await first.executor.stop()
		const second = new TestPlanstream(log, [hanging])
		await second.executor.recover()
		await reached(second, 'b', 2)
		await using third = new TestPlanstream(log, [hanging])
		await third.executor.recover()
		const events = await third.events('p')
		const reasons = events.flatMap((event) => (event.event_type === 'step_retrying' ? [event.data.reason] : []))
		expect(reasons).toEqual(['shutdown', 'worker_lost'])
		expect(runs).toEqual(['a', 'b', 'b', 'b', 'c'])
		await second.executor.stop()
	})
})

/** Resolves when an attempt of the step has started. */
async function reached(planstream: TestPlanstream, step_id: string, attempt = 1): Promise<void> {
	const abort = new AbortController()
	const request = { after: 'start', snapshot: false, follow: 'always', signal: abort.signal } as const
	for await (const item of planstream.hub.subscribe(LOCAL_PRINCIPAL, 'p', request)) {
		if (item.kind !== 'event') continue
		const event = JSON.parse(item.stored.text) as PlanEvent
		if (event.event_type === 'step_started' && event.step_id === step_id && event.attempt === attempt) return
	}
}
