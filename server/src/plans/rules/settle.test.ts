import { normalisePlan } from '@planstream/shared'
import { planSpec } from '@planstream/shared/schemas'
import { describe, expect, it } from 'vitest'
import { PlanInMemory } from '#test/support/plans/plan-in-memory.js'

const step = (step_id: string, depends_on: readonly string[] = [], more: object = {}) => ({
	step_id,
	action: 'act',
	agent_type: 'any',
	depends_on,
	...more,
})

function create(
	steps: readonly object[],
	{ start = true, ...more }: { start?: boolean; timeout_ms?: number } = {},
): PlanInMemory {
	const plan = new PlanInMemory()
	plan.put({ kind: 'create', plan: normalisePlan(planSpec.parse({ query: 'q', steps, ...more }), 'p'), start })
	return plan
}

const listTypes = (events: readonly { event_type: string; step_id: string | null }[]) =>
	events.map(({ event_type, step_id }) => (step_id === null ? event_type : `${event_type} ${step_id}`))

function succeed(plan: PlanInMemory, step_id: string): string[] {
	plan.lease(step_id)
	return listTypes(plan.complete(step_id))
}

function fail(plan: PlanInMemory, step_id: string): string[] {
	plan.lease(step_id)
	return listTypes(plan.fail(step_id))
}

describe('the end of a plan', () => {
	it('is a failure when a step waits for its retry behind a step that failed for good', () => {
		const plan = create([step('a'), step('b'), step('c')])
		plan.lease('b')
		plan.put({ kind: 'lost', step_id: 'b', attempt: 1, reason: 'worker_lost' })
		plan.put({ kind: 'modify', ops: [{ op: 'set_dependencies', step_id: 'b', depends_on: ['a'] }] })
		succeed(plan, 'c')
		expect(fail(plan, 'a')).toEqual(['step_failed a', 'plan_failed'])
		expect(plan.events.at(-1)?.data).toMatchObject({ error: { code: 'step_failed' }, failed_step_ids: ['a'] })
	})

	it('is a failure when a step is retried by hand and the retried step before it fails again', () => {
		const plan = create([step('a'), step('b', ['a'])])
		succeed(plan, 'a')
		plan.lease('b')
		plan.put({ kind: 'lost', step_id: 'b', attempt: 1, reason: 'worker_lost' })
		plan.put({ kind: 'retry_step', step_id: 'a', cascade: false })
		expect(fail(plan, 'a')).toEqual(['step_failed a', 'plan_failed'])
	})

	it('waits for a step whose retry is free to run', () => {
		const plan = create([step('a'), step('b')])
		plan.lease('b')
		plan.put({ kind: 'lost', step_id: 'b', attempt: 1, reason: 'worker_lost' })
		expect(fail(plan, 'a')).toEqual(['step_failed a'])
		expect(succeed(plan, 'b')).toEqual(['step_completed b', 'plan_failed'])
	})

	it('comes with its start when every step was skipped before', () => {
		const plan = create([step('a'), step('b', ['a'])], { start: false })
		plan.put({ kind: 'skip_step', step_id: 'a' })
		plan.put({ kind: 'skip_step', step_id: 'b' })
		expect(listTypes(plan.put({ kind: 'start' }))).toEqual(['plan_started', 'plan_completed'])
	})

	it('comes with its start when the steps that were not skipped are removed', () => {
		const plan = create([step('a'), step('b')], { start: false })
		plan.put({ kind: 'skip_step', step_id: 'a' })
		plan.put({ kind: 'modify', ops: [{ op: 'remove_step', step_id: 'b' }] })
		expect(listTypes(plan.put({ kind: 'start' }))).toEqual(['plan_started', 'plan_completed'])
	})
})

describe('a plan that timed out', () => {
	function timeOut(): PlanInMemory {
		const plan = create([step('a'), step('b', ['a']), step('c')], { timeout_ms: 1000 })
		plan.lease('c')
		plan.put({ kind: 'plan_timeout' }, 1000)
		plan.put({ kind: 'lost', step_id: 'c', attempt: 1, reason: 'interrupted' }, 1001)
		return plan
	}

	it('names the steps that its timeout cancelled, and why', () => {
		const plan = timeOut()
		expect(plan.events.at(-1)).toMatchObject({ event_type: 'plan_failed', data: { failed_step_ids: ['a', 'b', 'c'] } })
		const cancelled = plan.events.filter((event) => event.event_type === 'step_cancelled')
		expect(cancelled.map(({ step_id, data }) => [step_id, data])).toEqual(
			['c', 'a', 'b'].map((id) => [id, { reason: 'plan_timeout' }]),
		)
	})

	it('fails at once, naming the cancelled steps, when the one step that was retried has ended', () => {
		const plan = timeOut()
		plan.put({ kind: 'retry_step', step_id: 'a', cascade: false }, 2000)
		expect(succeed(plan, 'a')).toEqual(['step_completed a', 'plan_failed'])
		expect(plan.events.at(-1)?.data).toMatchObject({
			error: { code: 'timeout', message: expect.stringContaining('b and 1 other') },
			failed_step_ids: ['b', 'c'],
		})
	})

	it('completes when each of its steps was retried and has completed', () => {
		const plan = timeOut()
		plan.put({ kind: 'retry_step', step_id: 'a', cascade: false }, 2000)
		plan.put({ kind: 'retry_step', step_id: 'b', cascade: false }, 2000)
		plan.put({ kind: 'retry_step', step_id: 'c', cascade: false }, 2000)
		succeed(plan, 'a')
		succeed(plan, 'c')
		expect(succeed(plan, 'b')).toEqual(['step_completed b', 'plan_completed'])
	})
})

describe('a removed step', () => {
	it('is cancelled only if it was open', () => {
		const plan = create([step('a', [], { on_failure: 'continue' }), step('b'), step('c'), step('d')])
		fail(plan, 'a')
		plan.put({ kind: 'skip_step', step_id: 'b' })
		const ops = ['a', 'b', 'c'].map((step_id) => ({ op: 'remove_step', step_id }) as const)
		expect(listTypes(plan.put({ kind: 'modify', ops }))).toEqual(['plan_modified', 'step_cancelled c'])
	})
})

describe('a failed step', () => {
	const quality = { min_score: 0.5, approve_score: 0.95, on_reject: 'fail' }

	it('has the duration of its attempt when the gate rejected the result', () => {
		const plan = create([step('a', [], { quality })])
		plan.lease('a')
		plan.complete('a', 0.1)
		expect(plan.events.find((event) => event.event_type === 'step_failed')?.data).toMatchObject({ duration_ms: 1 })
	})

	it.each(['reject', 'expiry'] as const)('has the duration of its attempt when a review ended with a %s', (end) => {
		const plan = create([step('a', [], { quality })])
		plan.lease('a')
		plan.complete('a', 0.7)
		plan.put(
			end === 'reject' ? { kind: 'review', review_id: 'a.1', decision: 'reject' } : { kind: 'review_expired', review_id: 'a.1' },
		)
		expect(plan.events.find((event) => event.event_type === 'step_failed')?.data).toMatchObject({ duration_ms: 1 })
	})

	it('has the time since the start of its attempt when its worker was lost', () => {
		const plan = create([step('a', [], { retry: { max_lost: 0 } })])
		plan.lease('a', 1000)
		plan.put({ kind: 'lost', step_id: 'a', attempt: 1, reason: 'worker_lost' }, 3500)
		expect(plan.events.find((event) => event.event_type === 'step_failed')?.data).toMatchObject({ duration_ms: 2500 })
	})
})
