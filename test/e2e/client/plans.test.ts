import { createPlanstreamClient, type PlanEvent, type PlanSpec, type PlanState, type StepSpec } from '@planstream/client'
import { applyEvent, initialPlanState } from '@planstream/shared'
import { describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { startFaultProxy } from '../../support/servers/fault-proxy.js'
import { startTestServer } from '../../support/servers/test-server.js'

const AT_ONCE = { WebSocket, backoff: { initialMs: 0 } }

function planOf(input: NonNullable<StepSpec['input']>, more: Partial<StepSpec> = {}): PlanSpec {
	const first = { step_id: 'first', action: 'act', agent_type: 'scripted', input: { updates: [{ progress: 0.5 }], result: {} } }
	return {
		query: 'What comes of it?',
		steps: [first, { step_id: 'last', action: 'act', agent_type: 'scripted', input, ...more }],
	}
}

async function statesOf(watched: AsyncIterable<PlanState>): Promise<PlanState[]> {
	const states: PlanState[] = []
	for await (const state of watched) states.push(state)
	return states
}

describe.each(['websocket', 'sse'] as const)('a plan that is watched over %s', (transport) => {
	it('yields its present state, then one after each event, until it is finished', async () => {
		await using server = await startTestServer()
		await using planstream = createPlanstreamClient({ url: server.url, transport, ...AT_ONCE })
		const { plan_id } = await planstream.plans.create({ ...planOf({ result: { answer: 42 } }), start: false })
		const states: PlanState[] = []
		for await (const state of planstream.plans.watch(plan_id)) {
			if (states.push(state) === 1) await planstream.plans.start({ plan_id })
		}
		expect(states.map(({ seq }) => seq)).toEqual(states.map((_, index) => index + 1))
		expect(states[0]).toMatchObject({ plan_id, owner: 'managed', status: 'pending', seq: 1 })
		expect(states.at(-1)).toEqual(await planstream.plans.get({ plan_id }))
		expect(await statesOf(planstream.plans.watch(plan_id))).toEqual(states.slice(-1))
	})

	it('is awaited when it does not exist yet', async () => {
		await using server = await startTestServer()
		await using planstream = createPlanstreamClient({ url: server.url, transport, ...AT_ONCE })
		const watched = planstream.plans.watch('later', { onReady: ({ epoch }) => epoch === null && publish() })
		const publish = () =>
			void planstream.events.publish({
				plan_id: 'later',
				events: [
					{ event_type: 'plan_started', data: { query: 'q', total_steps: 1 } },
					{ event_type: 'plan_completed', data: {} },
				],
			})
		const states = await statesOf(watched)
		expect(states.map(({ owner, status }) => [owner, status])).toEqual([
			['external', 'running'],
			['external', 'completed'],
		])
	})

	it('continues after a known state, and begins anew when its events are gone', async () => {
		await using server = await startTestServer()
		await using planstream = createPlanstreamClient({ url: server.url, transport, ...AT_ONCE })
		const { plan_id } = await planstream.plans.run(planOf({ result: {} }))
		const events: PlanEvent[] = []
		const states = await statesOf(planstream.plans.watch(plan_id, { from: 'start', onEvent: (event) => events.push(event) }))
		const folded = events.map((_, index) => events.slice(0, index + 1).reduce(applyEvent, initialPlanState(plan_id, 'managed')))
		expect(states).toEqual(folded)
		const known = states[4] as PlanState
		expect(await statesOf(planstream.plans.watch(plan_id, { from: known }))).toEqual(states.slice(5))
		await planstream.plans.clear({ plan_id })
		expect(await statesOf(planstream.plans.watch(plan_id, { from: known }))).toEqual(states.slice(-1))
	})

	it('yields one state after each event while its connections are cut', async () => {
		await using server = await startTestServer()
		await using proxy = await startFaultProxy(server.url)
		await using planstream = createPlanstreamClient({ url: proxy.url, transport, ...AT_ONCE })
		const { plan_id } = await planstream.plans.create({ ...planOf({ result: {} }), start: false })
		const seen: number[] = []
		for await (const { seq } of planstream.plans.watch(plan_id)) {
			if (seen.push(seq) === 1) await planstream.plans.start({ plan_id })
			if (seen.length % 3 === 0) proxy.cut()
		}
		expect(seen).toEqual(seen.map((_, index) => index + 1))
	})

	it('keeps its filters while its connections are cut', async () => {
		await using server = await startTestServer()
		await using proxy = await startFaultProxy(server.url)
		await using planstream = createPlanstreamClient({ url: proxy.url, transport, ...AT_ONCE })
		const { plan_id } = await planstream.plans.run(planOf({ result: {} }))
		const seen: string[] = []
		for await (const event of planstream.plans.events({ plan_id, step_id: 'last' })) {
			seen.push(`${event.event_type} ${event.step_id}`)
			proxy.cut()
		}
		expect(seen).toEqual(['step_started last', 'step_completed last'])
	})

	it('is released while its next event is awaited', async () => {
		await using server = await startTestServer()
		await using planstream = createPlanstreamClient({ url: server.url, transport, ...AT_ONCE })
		let begun: () => void = () => {}
		const ready = new Promise<void>((resolve) => {
			begun = resolve
		})
		let next: Promise<unknown>
		{
			await using events = planstream.plans.events({ plan_id: 'quiet' }, { onReady: () => begun() })
			next = events.next()
			await ready
		}
		expect(await next).toEqual({ done: true, value: undefined })
		await expect.poll(() => server.report()).toMatchObject({ subscriptions: 0, watchers: 0 })
	})
})

describe('a plan that is run', () => {
	it('returns its result and reports its events', async () => {
		await using server = await startTestServer()
		await using planstream = createPlanstreamClient({ url: server.url, ...AT_ONCE })
		const types: string[] = []
		const { plan_id, result, state } = await planstream.plans.run(planOf({ result: { answer: 42 } }), {
			onEvent: ({ event_type }) => types.push(event_type),
		})
		expect(result).toEqual({ last: { answer: 42 } })
		expect(state).toEqual(await planstream.plans.get({ plan_id }))
		expect([types[0], types.at(-1)]).toEqual(['plan_created', 'plan_completed'])
	})

	it('returns its result in full when it is too large for a state', async () => {
		await using server = await startTestServer()
		await using planstream = createPlanstreamClient({ url: server.url, ...AT_ONCE })
		const { result, state } = await planstream.plans.run(planOf({ result: { text: 'x'.repeat(10_000) } }))
		expect(state.result).toBeNull()
		expect(result).toEqual({ last: { text: 'x'.repeat(10_000) } })
	})

	it('throws the cause of its failure, with the steps and the cursor', async () => {
		await using server = await startTestServer()
		await using planstream = createPlanstreamClient({ url: server.url, ...AT_ONCE })
		const fail = { times: 9, code: 'upstream', message: 'The archive is closed.', retryable: false }
		const run = planstream.plans.run({ ...planOf({ fail }), plan_id: 'p' })
		await expect(run).rejects.toMatchObject({
			name: 'PlanstreamError',
			code: 'run_failed',
			retryable: false,
			message: expect.stringContaining('Plan p failed: '),
		})
		const { cursor, error } = await planstream.plans.get({ plan_id: 'p' })
		await expect(run).rejects.toMatchObject({ facts: { plan_id: 'p', cursor, error, failed_step_ids: ['last'] } })
	})

	it('throws that it was cancelled or deleted', async () => {
		await using server = await startTestServer()
		await using planstream = createPlanstreamClient({ url: server.url, ...AT_ONCE })
		const onEvent = ({ plan_id, event_type, step_id }: PlanEvent) => {
			if (event_type === 'step_started' && step_id === 'last') void planstream.plans.cancel({ plan_id })
		}
		const run = planstream.plans.run(planOf({ hang: true }), { onEvent })
		await expect(run).rejects.toMatchObject({ code: 'run_cancelled', facts: { failed_step_ids: [], error: null } })
	})

	it('continues when its last follower has left', async () => {
		await using server = await startTestServer()
		await using planstream = createPlanstreamClient({ url: server.url, ...AT_ONCE })
		const abort = new AbortController()
		const spec = planOf({ updates: [{ wait_ms: 50 }], result: {} })
		const run = planstream.plans.run({ ...spec, plan_id: 'p' }, { signal: abort.signal, onEvent: () => abort.abort() })
		await expect(run).rejects.toMatchObject({ name: 'AbortError' })
		expect((await statesOf(planstream.plans.watch('p'))).at(-1)?.status).toBe('completed')
		const closed = planstream.plans.run({ ...spec, plan_id: 'q' }, { onEvent: () => void planstream.close() })
		await expect(closed).rejects.toThrow('This client is closed')
	})

	it('is created once when the answer to its creation is lost', async () => {
		await using server = await startTestServer()
		await using proxy = await startFaultProxy(server.url)
		await using planstream = createPlanstreamClient({ url: proxy.url, ...AT_ONCE })
		const cuts = [0]
		proxy.nextCut = () => cuts.shift() ?? null
		const { plan_id } = await planstream.plans.run(planOf({ result: {} }))
		expect(proxy.requests).toBeGreaterThan(2)
		expect((await planstream.plans.list()).plans).toMatchObject([{ plan_id }])
	})
})
