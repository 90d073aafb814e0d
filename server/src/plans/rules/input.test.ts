import { normalisePlan, PLAN_STATUSES, type PlanStatus, PlanstreamError, type StepStatus } from '@planstream/shared'
import { planSpec } from '@planstream/shared/schemas'
import { describe, expect, it } from 'vitest'
import { PlanInMemory } from '#test/support/plans/plan-in-memory.js'
import type { Command } from './input.js'
import { ALLOWED_ON_PLAN, listStepCommands, STEP_COMMANDS, type StepCommand } from './input.js'

const gate = { min_score: 0.5, approve_score: 0.95 }
const step = (step_id: string, more: object = {}) => ({ step_id, action: 'act', agent_type: 'any', ...more })

/** Step b depends on a; c is independent. */
function create(start: boolean): PlanInMemory {
	const steps = [
		step('a', { quality: gate, retry: { max_attempts: 2 } }),
		step('b'),
		step('c', { depends_on: [], on_failure: 'continue' }),
	]
	const plan = new PlanInMemory()
	plan.put({ kind: 'create', plan: normalisePlan(planSpec.parse({ query: 'q', timeout_ms: 1000, steps }), 'p'), start })
	return plan
}

function running(...leased: string[]): PlanInMemory {
	const plan = create(true)
	for (const id of leased) plan.lease(id)
	return plan
}

function after(plan: PlanInMemory, ...commands: Command[]): PlanInMemory {
	for (const command of commands) plan.put(command)
	return plan
}

const pause: Command = { kind: 'pause', mode: 'drain' }
const cancel: Command = { kind: 'cancel' }

function failed(): PlanInMemory {
	const plan = running('a', 'c')
	plan.fail('a')
	plan.complete('c')
	return plan
}

function completed(): PlanInMemory {
	const plan = running('a', 'c')
	plan.complete('a', 1)
	plan.complete('c')
	plan.lease('b')
	plan.complete('b')
	return plan
}

const plans: Record<PlanStatus, () => PlanInMemory> = {
	pending: () => create(false),
	running: () => running('a'),
	pausing: () => after(running('a'), pause),
	paused: () => after(running(), pause),
	cancelling: () => after(running('a'), cancel),
	completed,
	failed,
	cancelled: () => after(running(), cancel),
}

const commands = {
	start: { kind: 'start' },
	pause,
	interrupt: { kind: 'pause', mode: 'interrupt' },
	resume: { kind: 'resume' },
	cancel,
	retry: { kind: 'retry' },
	modify: { kind: 'modify', ops: [{ op: 'update_step', step_id: 'b', patch: { action: 'other' } }] },
} as const satisfies Record<string, Command>

const everyStep = ['step_cancelled', 'step_cancelled', 'step_cancelled', 'plan_cancelled']

/** The state machine of a plan: the effect of each command in each state. Commands that are not listed are rejected. */
const transitions: Record<PlanStatus, Partial<Record<keyof typeof commands, readonly string[]>>> = {
	pending: { start: ['plan_started'], cancel: everyStep, modify: ['plan_modified'] },
	running: {
		start: [],
		pause: ['plan_pausing'],
		interrupt: ['plan_pausing'],
		resume: [],
		cancel: ['plan_cancelling'],
		modify: ['plan_modified'],
	},
	pausing: {
		pause: [],
		interrupt: ['plan_pausing'],
		resume: ['plan_resumed'],
		cancel: ['plan_cancelling'],
		modify: ['plan_modified'],
	},
	paused: { pause: [], interrupt: [], resume: ['plan_resumed'], cancel: everyStep, modify: ['plan_modified'] },
	cancelling: { cancel: [] },
	completed: {},
	failed: { retry: ['plan_resumed', 'step_retrying'], modify: ['plan_modified'] },
	cancelled: { cancel: [], retry: ['plan_resumed', 'step_retrying', 'step_retrying', 'step_retrying'] },
}

const refusalOf = (act: () => unknown): PlanstreamError => {
	try {
		act()
	} catch (error) {
		if (error instanceof PlanstreamError) return error
		throw error
	}
	throw new Error('nothing was refused')
}

describe.each(PLAN_STATUSES)('a plan that is %s', (status) => {
	it('is what the test sets up', () => {
		expect(plans[status]().fold.state.status).toBe(status)
	})

	it.each(Object.keys(commands) as (keyof typeof commands)[])('answers %s as its state machine says', (name) => {
		const plan = plans[status]()
		const expected = transitions[status][name]
		if (expected !== undefined) {
			expect(plan.put(commands[name]).map((event) => event.event_type)).toEqual(expected)
			return
		}
		const before = plan.fold
		const { kind } = commands[name]
		expect(refusalOf(() => plan.put(commands[name]))).toMatchObject({
			code: 'illegal_transition',
			facts: { from: status, requested: kind, allowed: ALLOWED_ON_PLAN[status] },
		})
		expect(plan.fold).toBe(before)
	})
})

/** Creates a running plan with a step in each state it can have there, and names that step. */
const steps: Partial<Record<StepStatus, () => [PlanInMemory, string]>> = {
	pending: () => [running(), 'b'],
	ready: () => [running(), 'a'],
	running: () => [running('a'), 'a'],
	retrying: () => {
		const plan = running('a')
		plan.put({ kind: 'lost', step_id: 'a', attempt: 1, reason: 'worker_lost' })
		return [plan, 'a']
	},
	awaiting_review: () => {
		const plan = running('a')
		plan.complete('a', 0.7)
		return [plan, 'a']
	},
	completed: () => {
		const plan = running('a')
		plan.complete('a', 1)
		return [plan, 'a']
	},
	failed: () => {
		const plan = running('c')
		plan.fail('c')
		return [plan, 'c']
	},
	skipped: () => [after(running(), { kind: 'skip_step', step_id: 'c' }), 'c'],
}

const does: Record<StepCommand, (status: StepStatus) => readonly string[]> = {
	retry: () => ['step_retrying'],
	skip: () => ['step_skipped'],
	review: () => ['review_resolved', 'step_completed'],
}

function commandOn(name: StepCommand, plan: PlanInMemory, step_id: string): Command {
	if (name === 'retry') return { kind: 'retry_step', step_id, cascade: false }
	if (name === 'skip') return { kind: 'skip_step', step_id }
	const review_id = plan.fold.state.steps.find((each) => each.step_id === step_id)?.review?.review_id ?? 'none'
	return { kind: name, review_id, decision: 'approve' }
}

/** Brings the plan into another state around its step where that is possible without touching the step. */
const around: Partial<Record<PlanStatus, (plan: PlanInMemory) => PlanInMemory>> = {
	running: (plan) => plan,
	pausing: (plan) => {
		if (!plan.fold.state.steps.some((each) => each.status === 'running')) plan.live.add('c')
		return after(plan, pause)
	},
	paused: (plan) => after(plan, pause),
}

describe.each(Object.keys(around) as PlanStatus[])('in a plan that is %s', (planStatus) => {
	describe.each(Object.keys(steps) as StepStatus[])('a step that is %s', (stepStatus) => {
		it.each(STEP_COMMANDS)('answers %s as its state machine says', (name) => {
			const [made, step_id] = steps[stepStatus]?.() ?? [create(true), 'a']
			const plan = around[planStatus]?.(made) ?? made
			if (plan.fold.state.status !== planStatus) return
			expect(plan.fold.state.steps.find((each) => each.step_id === step_id)?.status).toBe(stepStatus)
			const command = commandOn(name, plan, step_id)
			const reached = name === 'skip' && stepStatus === 'skipped'
			if (reached || listStepCommands(planStatus, stepStatus).includes(name)) {
				expect(plan.put(command).map((event) => event.event_type)).toEqual(reached ? [] : does[name](stepStatus))
				return
			}
			const before = plan.fold
			const refusal = refusalOf(() => plan.put(command))
			if (name === 'review') expect(refusal.code).toBe('not_found')
			else
				expect(refusal).toMatchObject({
					code: 'illegal_transition',
					facts: { from: stepStatus, requested: name, allowed: listStepCommands(planStatus, stepStatus) },
				})
			expect(plan.fold).toBe(before)
		})
	})
})

describe.each(['completed', 'cancelled', 'cancelling'] as const)('in a plan that is %s', (status) => {
	it.each(STEP_COMMANDS)('no step accepts %s', (name) => {
		const plan = plans[status]()
		const [first] = plan.fold.state.steps
		const refusal = refusalOf(() => plan.put(commandOn(name, plan, first?.step_id ?? '')))
		expect(['illegal_transition', 'not_found']).toContain(refusal.code)
	})
})

describe('run control', () => {
	it('pauses when the last attempt has ended, and counts its result', () => {
		const plan = after(running('a', 'c'), pause)
		expect(plan.complete('a', 1).map((event) => event.event_type)).toEqual(['quality_check', 'step_completed'])
		expect(plan.complete('c').map((event) => event.event_type)).toEqual(['step_completed', 'plan_paused'])
		expect(plan.events.at(-1)).toMatchObject({ data: { mode: 'drain', running_step_ids: [] } })
	})

	it('is not paused while an agent ignores its signal', () => {
		const plan = after(running('a'), { kind: 'pause', mode: 'interrupt' })
		plan.live.add('a')
		const cut = plan.put({ kind: 'lost', step_id: 'a', attempt: 1, reason: 'interrupted' })
		expect(cut.map((event) => event.event_type)).toEqual(['step_retrying'])
		plan.live.delete('a')
		expect(plan.put({ kind: 'idle' }).map((event) => event.event_type)).toEqual(['plan_paused'])
	})

	it('ends a pausing plan rather than pausing it when no step is left', () => {
		const plan = running('a', 'c')
		plan.complete('a', 1)
		plan.complete('c')
		plan.lease('b')
		plan.put(pause)
		expect(plan.complete('b').map((event) => event.event_type)).toEqual(['step_completed', 'plan_completed'])
	})

	it('counts no outcome of a plan that is being cancelled', () => {
		const plan = after(running('a'), cancel)
		const events = plan.complete('a').map((event) => [event.event_type, event.step_id])
		expect(events).toEqual([
			['step_cancelled', 'a'],
			['step_cancelled', 'b'],
			['step_cancelled', 'c'],
			['plan_cancelled', null],
		])
	})

	it('fails a plan after its deadline once nothing runs', () => {
		const plan = running('a')
		expect(plan.put({ kind: 'plan_timeout' }, 999)).toEqual([])
		expect(plan.put({ kind: 'plan_timeout' }, 1000)).toMatchObject([{ event_type: 'plan_cancelling', data: { timed_out: true } }])
		expect(plan.put({ kind: 'lost', step_id: 'a', attempt: 1, reason: 'interrupted' }).at(-1)).toMatchObject({
			event_type: 'plan_failed',
			data: { error: { code: 'timeout' } },
		})
	})

	it('retries a failed step alone, or with cascade also the steps that used its result', () => {
		const plan = failed()
		expect(
			plan.put({ kind: 'retry_step', step_id: 'a', cascade: false }).map((event) => [event.event_type, event.step_id]),
		).toEqual([
			['plan_resumed', null],
			['step_retrying', 'a'],
		])
		plan.lease('a')
		plan.complete('a', 1)
		plan.lease('b')
		const again = plan.put({ kind: 'retry_step', step_id: 'c', cascade: true })
		expect(again.map((event) => event.step_id)).toEqual(['c'])
		plan.put({ kind: 'lost', step_id: 'b', attempt: 1, reason: 'worker_lost' })
	})

	it('accepts one answer to a review and reports the second as resolved', () => {
		const plan = running('a')
		plan.complete('a', 0.7)
		const review = { kind: 'review', review_id: 'a.1', decision: 'edit', payload: { better: true } } as const
		expect(plan.put(review).map((event) => event.event_type)).toEqual(['review_resolved', 'step_completed'])
		expect(plan.fold.state.steps[0]).toMatchObject({ status: 'completed', result: { better: true }, quality_score: 0.7 })
		expect(refusalOf(() => plan.put(review))).toMatchObject({ code: 'illegal_transition', facts: { from: 'resolved' } })
	})

	it('counts a rejected review as a failure, and fails the step when no attempt is left', () => {
		const plan = running('a')
		plan.complete('a', 0.7)
		const reject = (attempt: number): Command => ({ kind: 'review', review_id: `a.${attempt}`, decision: 'reject' })
		expect(plan.put(reject(1)).map((event) => event.event_type)).toEqual(['review_resolved', 'step_retrying'])
		plan.lease('a')
		plan.complete('a', 0.7)
		expect(plan.put(reject(2)).map((event) => event.event_type)).toEqual(['review_resolved', 'step_failed'])
	})

	it('edits one step a thousand times without walking through its input and dependencies', () => {
		const plan = create(false)
		const [, before] = plan.fold.plan?.steps ?? []
		const ops = Array.from(
			{ length: 1000 },
			(_, index) => ({ op: 'update_step', step_id: 'b', patch: { name: `${index}` } }) as const,
		)
		const [modified] = plan.put({ kind: 'modify', ops })
		const { steps = [] } = (modified?.data ?? {}) as unknown as { readonly steps?: readonly (typeof before)[] }
		const [, after] = steps
		expect(after).toEqual({ ...before, name: '999' })
		expect(after?.input).toBe(before?.input)
		expect(after?.depends_on).toBe(before?.depends_on)
		const replaced = { op: 'update_step', step_id: 'b', patch: { input: { a: 1 } } } as const
		const wrong = { op: 'update_step', step_id: 'b', patch: { quality: { min_score: 2 } } } as const
		expect(plan.put({ kind: 'modify', ops: [replaced] })[0]).toMatchObject({ data: { steps: [{}, { input: { a: 1 } }, {}] } })
		expect(refusalOf(() => plan.put({ kind: 'modify', ops: [wrong] }))).toMatchObject({ code: 'bad_request' })
	})
})
