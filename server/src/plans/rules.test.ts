import { normalisePlan, type PlanSpec, PlanstreamError } from '@planstream/shared'
import { createInput, planSpec } from '@planstream/shared/schemas'
import { describe, expect, it } from 'vitest'
import { ManualAgent } from '#test/support/agents/manual-agent.js'
import { ManualClock } from '#test/support/manual-clock.js'
import { PlanInMemory } from '#test/support/plans/plan-in-memory.js'
import { manualTime, startPlanstream, TestPlanstream } from '#test/support/plans/test-planstream.js'
import { getResult } from '../hub/plan-fold.js'
import { LOCAL_PRINCIPAL } from '../hub/principal.js'
import type { EventLog } from '../log/event-log.js'
import { openLog } from '../log/open.js'
import type { Agent } from './agent.js'
import type { Command } from './rules/input.js'

type Step = PlanSpec['steps'][number]
const step = (step_id: string, more: Partial<Step> = {}): Step => ({ step_id, action: 'act', agent_type: 'any', ...more })

function planOf(steps: readonly Step[], more: Partial<PlanSpec> = {}): PlanInMemory {
	const plan = new PlanInMemory()
	const spec = planSpec.parse({ query: 'q', max_concurrency: 1000, ...more, steps })
	plan.put({ kind: 'create', plan: normalisePlan(spec, 'p'), start: true })
	return plan
}

const statuses = ({ fold }: PlanInMemory) => Object.fromEntries(fold.state.steps.map((each) => [each.step_id, each.status]))
const changed = (plan: PlanInMemory, command: Command) =>
	plan.put(command).map((event) => `${event.event_type} ${event.step_id ?? ''}`.trim())

/** Ids that are properties of every JavaScript object. */
const INHERITED = ['constructor', 'toString', 'hasOwnProperty'] as const

describe('ids that every object has', () => {
	it.each(INHERITED)('work for the step %s: attempts count, its review can be answered, its result is kept', (id) => {
		const gate = { min_score: 0.5, approve_score: 0.95 }
		const plan = planOf([step(id, { quality: gate, retry: { max_lost: 1 } }), step('last')])
		expect(() => changed(plan, { kind: 'retry_step', step_id: id, cascade: false })).toThrow(/is ready/)
		plan.lease(id)
		plan.put({ kind: 'lost', step_id: id, attempt: 1, reason: 'worker_lost' })
		expect(statuses(plan)).toMatchObject(Object.fromEntries([[id, 'retrying']]))
		plan.lease(id)
		plan.complete(id, 0.7)
		const review = { kind: 'review', review_id: `${id}.2`, decision: 'approve' } as const
		expect(changed(plan, review)).toEqual([`review_resolved ${id}`, `step_completed ${id}`])
		expect(getResult(plan.fold, id)).toEqual({ from: id })
		expect(changed(plan, { kind: 'retry_step', step_id: id, cascade: false })).toEqual([`step_retrying ${id}`])
		expect(changed(plan, { kind: 'skip_step', step_id: id })).toEqual([`step_skipped ${id}`])
		expect(changed(plan, { kind: 'skip_step', step_id: id })).toEqual([])
	})

	it.each(INHERITED)('work for the idempotency key %s, which counts as unused', async (key) => {
		await using planstream = await startPlanstream([new ManualAgent(true)])
		await create(planstream, { start: false })
		const cancel = () => planstream.executor.command(LOCAL_PRINCIPAL, 'p', { kind: 'cancel' }, { idempotency_key: key })
		const first = await cancel()
		expect(first).toMatchObject({ changed: true, status: 'cancelled' })
		expect(await cancel()).toEqual(first)
	})
})

describe('retry with cascade', () => {
	it('includes every completed step downstream, also behind one that is already going to run again', () => {
		const plan = planOf([step('a'), step('b'), step('c'), step('other', { depends_on: [] })])
		for (const id of ['a', 'b', 'c']) {
			plan.lease(id)
			plan.complete(id)
		}
		plan.put({ kind: 'retry_step', step_id: 'b', cascade: false })
		expect(changed(plan, { kind: 'retry_step', step_id: 'a', cascade: true })).toEqual(['step_retrying a', 'step_retrying c'])
		expect(statuses(plan)).toEqual({ a: 'ready', b: 'pending', c: 'pending', other: 'ready' })
	})
})

describe('skip_dependents', () => {
	it('skips a step that is added downstream of a skipped one', () => {
		const plan = planOf([step('a', { on_failure: 'skip_dependents' }), step('b'), step('other', { depends_on: [] })])
		plan.lease('a')
		plan.fail('a')
		const [added] = planSpec.parse({ query: 'q', steps: [step('c', { depends_on: ['b'] })] }).steps
		if (added === undefined) throw new Error('one step was given')
		expect(changed(plan, { kind: 'modify', ops: [{ op: 'add_step', step: added }] })).toEqual(['plan_modified', 'step_skipped c'])
		expect(plan.events.at(-1)?.data).toEqual({ reason: 'dependency_failed', cause_step_id: 'a' })
	})
})

describe('a review', () => {
	const gate = { min_score: 0.5, approve_score: 0.95, review: { expires_ms: 1000, on_expiry: 'approve' as const } }

	it('has no effect when it expires while its plan is being cancelled', () => {
		const plan = planOf([step('a', { quality: gate }), step('b', { depends_on: [] })])
		plan.lease('a')
		plan.lease('b')
		plan.complete('a', 0.7)
		plan.put({ kind: 'cancel' })
		expect(plan.put({ kind: 'review_expired', review_id: 'a.1' }, 2000)).toEqual([])
	})

	it('blocks nothing once its step has ended', () => {
		const plan = planOf([step('a', { quality: gate }), step('b')])
		plan.lease('a')
		plan.complete('a', 0.7)
		expect(plan.fold.held).not.toEqual({})
		plan.put({ kind: 'skip_step', step_id: 'a' })
		expect(plan.fold.held).toEqual({})
	})

	it.each([
		['skipped', { kind: 'skip_step', step_id: 'a' }],
		['cancelled', { kind: 'cancel' }],
	] as const)('is rejected with the reason once its step was %s, whatever happens to the step later', (from, command) => {
		const plan = planOf([step('a', { quality: gate }), step('b', { depends_on: [] })])
		plan.lease('a')
		plan.complete('a', 0.7)
		plan.put(command)
		const answer = () => plan.put({ kind: 'review', review_id: 'a.1', decision: 'approve' })
		const refusal = { code: 'illegal_transition', facts: { from, requested: 'review', allowed: [] } }
		expect(answer).toThrow(expect.objectContaining(refusal))
		plan.put(from === 'skipped' ? { kind: 'retry_step', step_id: 'a', cascade: false } : { kind: 'retry' })
		expect(answer).toThrow(expect.objectContaining(refusal))
		expect(() => plan.put({ kind: 'review', review_id: 'a.2', decision: 'approve' })).toThrow('has no review a.2')
	})

	it.each([
		['approve', 'step_completed', 'plan_completed'],
		['reject', 'step_failed', 'plan_failed'],
		['fail', 'step_failed', 'plan_failed'],
	] as const)('ends by on_expiry %s at its time when no one answers', async (on_expiry, event_type, end) => {
		const clock = new ManualClock()
		const scored: Agent = { type: 'held', execute: () => Promise.resolve({ data: { made: true }, quality_score: 0.7 }) }
		await using planstream = new TestPlanstream(await openLog({ kind: 'memory' }), [scored], manualTime(clock))
		const asked = next(planstream, 'review_required')
		const ended = next(planstream, end)
		const quality = { ...gate, on_reject: 'fail' as const, review: { expires_ms: 60_000, on_expiry } }
		await create(planstream, { steps: [step('a', { agent_type: 'held', quality })] })
		await asked
		clock.advance(59_999)
		expect((await planstream.hub.state(LOCAL_PRINCIPAL, 'p'))?.steps[0]?.status).toBe('awaiting_review')
		clock.advance(1)
		await ended
		const events = await planstream.events('p')
		expect(events.slice(-3).map((event) => event.event_type)).toEqual(['review_resolved', event_type, end])
		expect(events.at(-3)).toMatchObject({ data: { decision: 'expired' }, actor: { type: 'system' } })
	})
})

describe('a slot', () => {
	it('stays taken by an agent that outlives its attempt, for its own next attempt and for others', () => {
		const plan = planOf([step('a', { depends_on: [] }), step('b', { depends_on: [] })], { max_concurrency: 1 })
		plan.lease('a')
		plan.live.add('a')
		plan.put({ kind: 'lost', step_id: 'a', attempt: 1, reason: 'interrupted' })
		expect(() => plan.lease('a')).toThrow(/refused/)
		expect(() => plan.lease('b')).toThrow(/refused/)
		plan.live.delete('a')
		plan.lease('b')
		expect(statuses(plan)).toEqual({ a: 'retrying', b: 'running' })
	})
})

describe('the reason of a pause', () => {
	it.each([
		[undefined, 'coffee'],
		['fire', 'fire'],
	])('is kept by an interrupt with %s: %s', (said, reason) => {
		const plan = planOf([step('a')])
		plan.lease('a')
		plan.put({ kind: 'pause', mode: 'drain', reason: 'coffee' })
		expect(plan.put({ kind: 'pause', mode: 'interrupt', reason: said })).toMatchObject([{ data: { mode: 'interrupt', reason } }])
		plan.put({ kind: 'lost', step_id: 'a', attempt: 1, reason: 'interrupted' })
		expect(plan.events.at(-1)).toMatchObject({ event_type: 'plan_paused', data: { mode: 'interrupt', reason } })
		plan.put({ kind: 'resume' })
		expect(plan.put({ kind: 'pause', mode: 'drain' })).toMatchObject([{ data: { mode: 'drain', running_step_ids: [] } }])
		expect(plan.fold.pause).toMatchObject({ reason: null })
	})
})

describe('a plan of 1,000 steps', () => {
	it('is edited in one command that patches, removes, adds or moves every step', () => {
		const ids = Array.from({ length: 1000 }, (_, index) => `step_${index}`)
		const plan = planOf(ids.map((id) => step(id)))
		const patches = ids.slice(1).map((step_id) => ({ op: 'update_step' as const, step_id, patch: { action: 'other' } }))
		expect(changed(plan, { kind: 'modify', ops: patches })).toEqual(['plan_modified'])
		expect(changed(plan, { kind: 'modify', ops: [{ op: 'reorder', step_ids: ids.toReversed() }] })).toEqual(['plan_modified'])
		expect(plan.fold.state.steps.at(-1)).toMatchObject({ step_id: 'step_0', depends_on: ['step_1'] })
		const removals = ids.slice(10).map((step_id) => ({ op: 'remove_step' as const, step_id }))
		expect(changed(plan, { kind: 'modify', ops: removals })).toHaveLength(991)
		expect(plan.fold.state).toMatchObject({ revision: 4, status: 'running' })
		expect(plan.fold.state.steps).toHaveLength(10)
	})
})

async function create(planstream: TestPlanstream, spec: object = {}): Promise<void> {
	const steps = [step('a', { agent_type: 'held' }), step('b', { agent_type: 'held' })]
	await planstream.executor.create(LOCAL_PRINCIPAL, createInput.parse({ plan_id: 'p', query: 'q', steps, ...spec }))
}

function next(planstream: TestPlanstream, event_type: Parameters<TestPlanstream['hub']['on']>[0]): Promise<void> {
	return new Promise((resolve) => {
		const registration = planstream.hub.on(event_type, () => {
			registration[Symbol.dispose]()
			resolve()
		})
	})
}

describe('a repeated clone', () => {
	it('is created once under its key although its source has changed, and refuses another clone under it', async () => {
		await using planstream = await startPlanstream([new ManualAgent(true)])
		await create(planstream, { start: false })
		const clone = (more: object = {}) =>
			planstream.executor.clone(LOCAL_PRINCIPAL, 'p', { start: false, idempotency_key: 'k', ...more })
		const first = await clone()
		await planstream.executor.command(LOCAL_PRINCIPAL, 'p', { kind: 'modify', ops: [{ op: 'remove_step', step_id: 'b' }] })
		expect(await clone()).toEqual(first)
		await expect(clone({ start: true })).rejects.toMatchObject({ code: 'idempotency_mismatch' })
	})
})

describe('recovery', () => {
	it('keeps attempts of its own worker', async () => {
		const agent = new ManualAgent(true)
		await using planstream = await startPlanstream([agent])
		await create(planstream)
		await agent.reaches(1)
		await planstream.executor.recover()
		const completed = next(planstream, 'step_completed')
		agent.running.get('a')?.end()
		await completed
		expect(agent.started[0]).toBe('a')
		expect((await planstream.hub.state(LOCAL_PRINCIPAL, 'p'))?.steps[0]).toMatchObject({ status: 'completed', attempt: 1 })
	})
})

const turns = async () => {
	for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve))
}

describe('an agent that ignores its signal', () => {
	it('is fenced after its grace period: nothing it reports later is appended, and a pause waits for it', async () => {
		const clock = new ManualClock()
		const agent = new ManualAgent(false)
		await using planstream = new TestPlanstream(await openLog({ kind: 'memory' }), [agent], manualTime(clock))
		await create(planstream, { steps: [step('a', { agent_type: 'held' })] })
		await agent.reaches(1)
		await planstream.executor.command(LOCAL_PRINCIPAL, 'p', { kind: 'pause', mode: 'interrupt' })
		const fenced = next(planstream, 'step_retrying')
		clock.advance(10_000)
		await fenced
		const deaf = agent.running.get('a')
		deaf?.context.progress(0.9)
		deaf?.context.output('too late')
		await turns()
		expect((await planstream.hub.state(LOCAL_PRINCIPAL, 'p'))?.status).toBe('pausing')
		const paused = next(planstream, 'plan_paused')
		deaf?.end()
		await paused
		const { events } = await planstream.log.read({ tenant: 'default', plan_id: 'p' }, 'start', 100)
		const types = events.map(({ text }) => (JSON.parse(text) as { event_type: string }).event_type)
		expect(types.slice(2)).toEqual(['step_started', 'plan_pausing', 'step_retrying', 'plan_paused'])
	})
})

/** Wraps a log that is full, or stores an append and loses its answer, as often as the test says. */
function filling(log: EventLog): { readonly log: EventLog; full: number; losesAnswers: number } {
	const disk = { log, full: 0, losesAnswers: 0 }
	disk.log = new Proxy(log, {
		get(target, name) {
			const method: unknown = Reflect.get(target, name)
			if (name !== 'append') return typeof method === 'function' ? (method.bind(target) as unknown) : method
			const append: EventLog['append'] = async (...given) => {
				if (disk.full-- > 0) throw new PlanstreamError('storage_full', 'The disk is full.')
				const appended = await target.append(...given)
				if (disk.losesAnswers-- > 0) throw new PlanstreamError('storage_unavailable', 'The store did not answer.')
				return appended
			}
			return append
		},
	})
	return disk
}

describe('a full disk', () => {
	it('delays a lease and an outcome until there is room, after which the plan continues by itself', async () => {
		const clock = new ManualClock()
		const disk = filling(await openLog({ kind: 'memory' }))
		const agent = new ManualAgent(true)
		await using planstream = new TestPlanstream(disk.log, [agent], manualTime(clock))
		await create(planstream, { steps: [step('a', { agent_type: 'held' })] })
		disk.full = 1
		await turns()
		expect(agent.started).toEqual([])
		clock.advance(1000)
		await agent.reaches(1)
		disk.full = 1
		const completed = next(planstream, 'plan_completed')
		agent.running.get('a')?.end()
		await turns()
		clock.advance(1000)
		await completed
		expect(planstream.problems).toHaveLength(2)
	})

	it('delays the reports of an attempt, which ends with its result and all of them, each once', async () => {
		const clock = new ManualClock()
		const disk = filling(await openLog({ kind: 'memory' }))
		const agent = new ManualAgent(true)
		await using planstream = new TestPlanstream(disk.log, [agent], manualTime(clock))
		await create(planstream, { steps: [step('a', { agent_type: 'held', timeout_ms: 500, retry: { max_attempts: 1 } })] })
		await agent.reaches(1)
		const held = agent.running.get('a')
		disk.full = 1
		held?.context.progress(0.5)
		await turns()
		held?.context.progress(0.7)
		held?.end()
		await turns()
		const completed = next(planstream, 'plan_completed')
		clock.advance(1000)
		await completed
		const { events } = await planstream.log.read({ tenant: 'default', plan_id: 'p' }, 'start', 100)
		const types = events.map(({ text }) => (JSON.parse(text) as { event_type: string }).event_type)
		expect(types.slice(2)).toEqual(['step_started', 'step_progress', 'step_progress', 'step_completed', 'plan_completed'])
	})

	it('stores a report once when it was stored, but its answer was lost', async () => {
		const clock = new ManualClock()
		const disk = filling(await openLog({ kind: 'memory' }))
		const agent = new ManualAgent(true)
		await using planstream = new TestPlanstream(disk.log, [agent], manualTime(clock))
		await create(planstream, { steps: [step('a', { agent_type: 'held' })] })
		await agent.reaches(1)
		const held = agent.running.get('a')
		disk.losesAnswers = 1
		held?.context.progress(0.5)
		await turns()
		clock.advance(1000)
		await held?.context.drained()
		const completed = next(planstream, 'plan_completed')
		held?.end()
		await completed
		const { events } = await planstream.log.read({ tenant: 'default', plan_id: 'p' }, 'start', 100)
		const types = events.map(({ text }) => (JSON.parse(text) as { event_type: string }).event_type)
		expect(types.slice(2)).toEqual(['step_started', 'step_progress', 'step_completed', 'plan_completed'])
	})
})
