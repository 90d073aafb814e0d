import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { PlanEvent, PlanSpec } from '@planstream/shared'
import { createInput, eventInput } from '@planstream/shared/schemas'
import { describe, expect, it } from 'vitest'
import { ManualAgent } from '#test/support/agents/manual-agent.js'
import { startPlanstream, TestPlanstream } from '#test/support/plans/test-planstream.js'
import { LOCAL_PRINCIPAL } from '../../hub/principal.js'
import { openLog } from '../../log/open.js'
import { deletePlan } from '../remove.js'
import type { Command } from './input.js'

const step = (step_id: string, more: Partial<PlanSpec['steps'][number]> = {}) => ({
	step_id,
	action: 'hold',
	agent_type: 'held',
	depends_on: [],
	...more,
})

async function create(planstream: TestPlanstream, spec: Partial<PlanSpec> = {}): Promise<void> {
	const steps = [step('a'), step('b'), step('c', { depends_on: ['a', 'b'] })]
	await planstream.executor.create(LOCAL_PRINCIPAL, createInput.parse({ plan_id: 'p', query: 'q', steps, ...spec }))
}

const send = (planstream: TestPlanstream, command: Command, terms = {}) =>
	planstream.executor.command(LOCAL_PRINCIPAL, 'p', command, terms)
const stateOf = async (planstream: TestPlanstream) => await planstream.hub.state(LOCAL_PRINCIPAL, 'p')

/** Resolves with the first event of a type from now on. */
function next(planstream: TestPlanstream, event_type: PlanEvent['event_type']): Promise<void> {
	return new Promise((resolve) => {
		const registration = planstream.hub.on(event_type, () => {
			registration[Symbol.dispose]()
			resolve()
		})
	})
}

const pause: Command = { kind: 'pause', mode: 'drain' }
const interrupt: Command = { kind: 'pause', mode: 'interrupt' }

describe('pause', () => {
	it('with drain waits for running steps, counts their results and starts no others', async () => {
		const agent = new ManualAgent(false)
		await using planstream = await startPlanstream([agent])
		await create(planstream)
		await agent.reaches(2)
		expect(await send(planstream, pause)).toMatchObject({ changed: true, status: 'pausing' })
		const paused = next(planstream, 'plan_paused')
		agent.running.get('a')?.end()
		agent.running.get('b')?.end()
		await paused
		expect(agent.started).toEqual(['a', 'b'])
		expect((await stateOf(planstream))?.steps.map((each) => each.status)).toEqual(['completed', 'completed', 'ready'])
		await send(planstream, { kind: 'resume' })
		await agent.reaches(1)
		agent.running.get('c')?.end()
		await next(planstream, 'plan_completed')
		expect(agent.started).toEqual(['a', 'b', 'c'])
	})

	it('with interrupt aborts agents, whose steps run again after resume without a failure', async () => {
		const agent = new ManualAgent(true)
		await using planstream = await startPlanstream([agent])
		await create(planstream)
		await agent.reaches(2)
		const paused = next(planstream, 'plan_paused')
		await send(planstream, interrupt)
		await paused
		expect(agent.running.size).toBe(0)
		const state = await stateOf(planstream)
		expect(state?.steps.map((each) => [each.status, each.failures])).toEqual([
			['retrying', 0],
			['retrying', 0],
			['pending', 0],
		])
		await send(planstream, { kind: 'resume' })
		await agent.reaches(2)
		expect(agent.started).toEqual(['a', 'b', 'a', 'b'])
	})
})

describe('cancel', () => {
	it('is complete when the last agent has ended, and counts no result', async () => {
		const agent = new ManualAgent(false)
		await using planstream = await startPlanstream([agent])
		await create(planstream)
		await agent.reaches(2)
		expect(await send(planstream, { kind: 'cancel', reason: 'enough' })).toMatchObject({ status: 'cancelling' })
		const cancelled = next(planstream, 'plan_cancelled')
		agent.running.get('a')?.end()
		agent.running.get('b')?.end()
		await cancelled
		expect((await stateOf(planstream))?.steps.map((each) => each.status)).toEqual(['cancelled', 'cancelled', 'cancelled'])
		await send(planstream, { kind: 'retry' })
		await agent.reaches(2)
		expect(agent.started).toEqual(['a', 'b', 'a', 'b'])
	})
})

/** Runs everything that is ready once. */
const turn = () => new Promise<void>((resolve) => void setImmediate(resolve))

it('reaches an attempt whose lease is being written', async () => {
	const agent = new ManualAgent(true)
	const directory = mkdtempSync(join(tmpdir(), 'planstream-'))
	await using planstream = new TestPlanstream(await openLog({ kind: 'sqlite', directory }), [agent])
	const steps = [step('a')]
	for (let round = 0; round < 20; round++) {
		const plan_id = `p${round}`
		await planstream.executor.create(LOCAL_PRINCIPAL, createInput.parse({ plan_id, query: 'q', steps }))
		await turn()
		await planstream.executor.command(LOCAL_PRINCIPAL, plan_id, { kind: 'cancel' })
		expect((await planstream.events(plan_id)).at(-1)?.event_type).toBe('plan_cancelled')
	}
	rmSync(directory, { recursive: true })
})

describe('editing a running plan', () => {
	it('takes effect: an added step runs and a removed one does not', async () => {
		const agent = new ManualAgent(true)
		await using planstream = await startPlanstream([agent])
		await create(planstream)
		await agent.reaches(2)
		const { step: added } = { step: createInput.shape.steps.element.parse(step('d')) }
		const edit: Command = {
			kind: 'modify',
			ops: [
				{ op: 'add_step', step: added },
				{ op: 'remove_step', step_id: 'c' },
			],
		}
		expect(await send(planstream, edit, { expected_revision: 1 })).toMatchObject({ changed: true, revision: 2 })
		await expect(send(planstream, edit, { expected_revision: 1 })).rejects.toMatchObject({
			code: 'stale_revision',
			facts: { revision: 2 },
		})
		await agent.reaches(3)
		const completed = next(planstream, 'plan_completed')
		for (const held of [...agent.running.values()]) held.end()
		await completed
		expect(agent.started).toEqual(['a', 'b', 'd'])
	})
})

describe('a command with an idempotency key', () => {
	it('acts once and repeats its answer at once, later and after a restart', async () => {
		const log = await openLog({ kind: 'memory' })
		const agent = new ManualAgent(true)
		const planstream = new TestPlanstream(log, [agent])
		await create(planstream)
		await agent.reaches(2)
		const once = { idempotency_key: 'k1' }
		const both = await Promise.all([send(planstream, pause, once), send(planstream, pause, once)])
		expect(both[0]).toEqual(both[1])
		expect(both[0]).toMatchObject({ changed: true, status: 'pausing' })
		await expect(send(planstream, interrupt, once)).rejects.toMatchObject({ code: 'idempotency_mismatch' })
		await planstream.executor.stop()
		await using restarted = new TestPlanstream(log, [agent])
		await restarted.executor.recover()
		expect(await send(restarted, pause, once)).toEqual(both[0])
		const events = await eventTypes(restarted)
		expect(events.filter((type) => type === 'plan_pausing')).toHaveLength(1)
	})

	it('finds its plan again when create generated the id', async () => {
		await using planstream = await startPlanstream([new ManualAgent(true)])
		const spec = createInput.parse({ query: 'q', steps: [step('a')], start: false, idempotency_key: 'k' })
		const first = await planstream.executor.create(LOCAL_PRINCIPAL, spec)
		expect(await planstream.executor.create(LOCAL_PRINCIPAL, spec)).toEqual(first)
	})
})

async function eventTypes(planstream: TestPlanstream): Promise<string[]> {
	const page = await planstream.log.read({ tenant: 'default', plan_id: 'p' }, 'start', 1000)
	return page.events.map((stored) => (JSON.parse(stored.text) as PlanEvent).event_type)
}

describe('the deadline of a plan', () => {
	it('fails the plan when it passes, after running steps have ended', async () => {
		const agent = new ManualAgent(true)
		await using planstream = await startPlanstream([agent])
		const failed = next(planstream, 'plan_failed')
		await create(planstream, { timeout_ms: 20 })
		await failed
		expect(await stateOf(planstream)).toMatchObject({ status: 'failed', error: { code: 'timeout' } })
		expect(agent.running.size).toBe(0)
	})
})

describe('clone and delete', () => {
	it('create a plan from the current one, and remove a finished one', async () => {
		const agent = new ManualAgent(true)
		await using planstream = await startPlanstream([agent])
		await create(planstream, { start: false } as Partial<PlanSpec>)
		await expect(deletePlan(planstream.hub, LOCAL_PRINCIPAL, 'p')).rejects.toMatchObject({ code: 'illegal_transition' })
		await send(planstream, { kind: 'modify', ops: [{ op: 'remove_step', step_id: 'c' }] })
		const clone = await planstream.executor.clone(LOCAL_PRINCIPAL, 'p', { plan_id: 'p2', start: false })
		expect(clone).toMatchObject({ plan_id: 'p2', status: 'pending', revision: 1 })
		expect((await planstream.hub.state(LOCAL_PRINCIPAL, 'p2'))?.steps.map((each) => each.step_id)).toEqual(['a', 'b'])
		await send(planstream, { kind: 'cancel' })
		await deletePlan(planstream.hub, LOCAL_PRINCIPAL, 'p')
		expect(await stateOf(planstream)).toBeNull()
	})

	it('list no allowed command when an open external plan is to be removed', async () => {
		await using planstream = await startPlanstream([])
		const events = [eventInput.parse({ event_type: 'plan_started', data: { query: 'q', total_steps: 1 } })]
		await planstream.hub.publish(LOCAL_PRINCIPAL, { plan_id: 'p', events, sent: events })
		const refusal = { code: 'illegal_transition', facts: { from: 'running', requested: 'delete', allowed: [] } }
		await expect(deletePlan(planstream.hub, LOCAL_PRINCIPAL, 'p')).rejects.toMatchObject(refusal)
	})
})
