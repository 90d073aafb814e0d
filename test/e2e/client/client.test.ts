import * as client from '@planstream/client'
import {
	type Connection,
	createPlanstreamClient,
	type PlanEvent,
	type PlanSpec,
	PlanstreamError,
	type ReadyFrame,
} from '@planstream/client'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import * as server from '../../../server/src/index.js'
import { arbitraryFaults, EVENTS, type Faults, watchThrough } from '../../support/client/watch-through-faults.js'
import { startFaultProxy } from '../../support/servers/fault-proxy.js'
import { startTestServer } from '../../support/servers/test-server.js'

const COUNTED = Array.from({ length: EVENTS }, (_, index) => index + 1)
const CALM: Faults = { transport: 'auto', handshakes: 'pass', cuts: [], cutsAtEvents: [], before: 4 }

const THREE_STEPS: PlanSpec = {
	plan_id: 'plan_1',
	query: 'What does the client see?',
	steps: ['one', 'two', 'three'].map((step_id) => ({
		step_id,
		action: 'act',
		agent_type: 'scripted',
		input: { result: { step_id } },
	})),
}

async function collect(events: AsyncIterable<PlanEvent>): Promise<PlanEvent[]> {
	const list: PlanEvent[] = []
	for await (const event of events) list.push(event)
	return list
}

describe.each(['websocket', 'sse'] as const)('the client over %s', (transport) => {
	it('creates a plan, watches it to its end, and reads its state', async () => {
		await using server = await startTestServer()
		await using planstream = createPlanstreamClient({ url: server.url, transport, WebSocket })
		const { plan_id } = await planstream.plans.create(THREE_STEPS)
		const events = await collect(planstream.plans.events({ plan_id }))
		expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1))
		expect(events.at(-1)?.event_type).toBe('plan_completed')
		const state = await planstream.plans.get({ plan_id })
		expect(state).toMatchObject({ status: 'completed', seq: events.length, cursor: events.at(-1)?.cursor })
		expect(planstream.connection.state).toBe('idle')
	})

	it('reports its connection, and uses one connection for all subscriptions over WebSocket', async () => {
		await using server = await startTestServer()
		await using proxy = await startFaultProxy(server.url)
		await using planstream = createPlanstreamClient({ url: proxy.url, transport, WebSocket })
		const states: Connection['state'][] = []
		planstream.onConnection(({ state }) => states.push(state))
		const watch = (plan_id: string) => {
			let first: Promise<unknown> = Promise.resolve()
			const ready = new Promise<ReadyFrame>((onReady) => {
				first = planstream.plans.events({ plan_id }, { onReady }).next()
			})
			return { first, ready }
		}
		const watching = ['a', 'b', 'c'].map(watch)
		await Promise.all(watching.map(({ ready }) => ready))
		expect(server.report().subscriptions).toBe(3)
		expect(planstream.connection).toEqual({ state: 'open', transport, error: null })
		if (transport === 'websocket') expect(proxy.accepted).toBe(1)
		await planstream.close()
		for (const { first } of watching) expect(await first).toEqual({ done: true, value: undefined })
		expect(states).toEqual(['connecting', 'open', 'closed'])
		await expect.poll(() => server.report()).toMatchObject({ connections: 0, subscriptions: 0, watchers: 0 })
	})

	it('releases everything when a loop is left', async () => {
		await using server = await startTestServer()
		await using planstream = createPlanstreamClient({ url: server.url, transport, WebSocket })
		await planstream.plans.create({ ...THREE_STEPS, start: false })
		for await (const event of planstream.plans.events({ plan_id: 'plan_1' })) {
			expect(event.event_type).toBe('plan_created')
			break
		}
		expect(planstream.connection.state).toBe('idle')
		await expect.poll(() => server.report()).toMatchObject({ connections: 0, subscriptions: 0, watchers: 0 })
	})

	it('throws when the server refuses permanently', async () => {
		await using server = await startTestServer()
		await using planstream = createPlanstreamClient({ url: server.url, transport, WebSocket })
		const events = planstream.plans.events({ plan_id: 'plan_1', after: 'nowhere' })
		await expect(collect(events)).rejects.toMatchObject({
			name: 'PlanstreamError',
			code: 'bad_request',
			facts: { path: 'after' },
		})
	})

	it('reports a position that cannot be honoured, with the state from which to continue', async () => {
		await using server = await startTestServer()
		await using planstream = createPlanstreamClient({ url: server.url, transport, WebSocket })
		await planstream.plans.create(THREE_STEPS)
		const resets: ReadyFrame[] = []
		const after = `other.3.${'0'.repeat(16)}`
		const events = await collect(
			planstream.plans.events({ plan_id: 'plan_1', after }, { onReset: (frame) => resets.push(frame) }),
		)
		expect(resets).toMatchObject([{ reset: { reason: 'epoch' }, from_seq: 1, state: { plan_id: 'plan_1' } }])
		expect(events[0]?.seq).toBe(1)
	})

	it('resumes at its position after the server was down', async () => {
		await using server = await startTestServer()
		await using proxy = await startFaultProxy(server.url)
		await using planstream = createPlanstreamClient({ url: proxy.url, transport, WebSocket, backoff: { initialMs: 0 } })
		const states = new Set<Connection['state']>()
		planstream.onConnection(({ state, error }) => {
			states.add(state)
			if (state !== 'reconnecting') return
			expect(error).toBeInstanceOf(Error)
			proxy.away = false
		})
		await planstream.plans.create({ ...THREE_STEPS, start: false })
		const seen: number[] = []
		for await (const { seq } of planstream.plans.events({ plan_id: 'plan_1' })) {
			if (seen.push(seq) > 1) continue
			await planstream.plans.start({ plan_id: 'plan_1' })
			proxy.away = true
			proxy.cut()
		}
		expect(seen).toEqual(seen.map((_, index) => index + 1))
		expect([...states]).toEqual(expect.arrayContaining(['open', 'reconnecting', 'idle']))
	})

	it('receives every event once while its connections are cut at random moments', async () => {
		await using server = await startTestServer()
		await using proxy = await startFaultProxy(server.url)
		const property = fc.asyncProperty(arbitraryFaults, async (faults) => {
			expect(await watchThrough(proxy, server, { ...faults, transport })).toEqual(COUNTED)
		})
		await fc.assert(property, { seed: 11, numRuns: 8, endOnFailure: true })
	}, 30_000)
})

describe('the client', () => {
	it.each(['refuse', 'miss', 'swallow'] as const)('falls back to SSE when proxies %s WebSocket', async (handshakes) => {
		await using server = await startTestServer()
		await using proxy = await startFaultProxy(server.url)
		expect(await watchThrough(proxy, server, { ...CALM, handshakes, cutsAtEvents: [3, 9] })).toEqual(COUNTED)
	})

	it.each(['refuse', 'swallow'] as const)(
		'polls when proxies %s WebSocket and hold streams back until they end',
		async (fate) => {
			await using server = await startTestServer()
			await using proxy = await startFaultProxy(server.url)
			proxy.holdsStreams = true
			expect(await watchThrough(proxy, server, { ...CALM, handshakes: fate, cutsAtEvents: [7] })).toEqual(COUNTED)
			proxy.webSockets = 'refuse'
			const options = { url: proxy.url, WebSocket, connectTimeoutMs: 500, backoff: { initialMs: 0 } }
			await using planstream = createPlanstreamClient(options)
			const { plan_id } = await planstream.plans.create({ ...THREE_STEPS, plan_id: 'own', start: false })
			for await (const { seq } of planstream.plans.events({ plan_id })) {
				if (seq === 1) await planstream.plans.start({ plan_id })
			}
			expect(planstream.connection).toEqual({ state: 'idle', transport: 'poll', error: null })
			const before = proxy.requests
			await collect(planstream.plans.events({ plan_id }))
			expect(proxy.requests).toBe(before + 1)
			for await (const { plans } of planstream.plans.changes()) {
				expect(plans.map((plan) => plan.plan_id)).toContain(plan_id)
				break
			}
		},
		20_000,
	)

	it('receives every event once by polling while its connections are cut at random moments', async () => {
		await using server = await startTestServer()
		await using proxy = await startFaultProxy(server.url)
		const property = fc.asyncProperty(arbitraryFaults, async (faults) => {
			expect(await watchThrough(proxy, server, { ...faults, transport: 'poll' })).toEqual(COUNTED)
		})
		await fc.assert(property, { seed: 12, numRuns: 3, endOnFailure: true })
		await expect.poll(() => server.report()).toMatchObject({ connections: 0, subscriptions: 0, watchers: 0 })
	}, 30_000)

	it('remembers that WebSocket does not get through', async () => {
		await using server = await startTestServer()
		await using proxy = await startFaultProxy(server.url)
		proxy.webSockets = 'refuse'
		let handshakes = 0
		class Counted extends WebSocket {
			constructor(url: string) {
				super(url)
				handshakes++
			}
		}
		await using planstream = createPlanstreamClient({ url: proxy.url, WebSocket: Counted })
		await planstream.plans.create(THREE_STEPS)
		for (let times = 0; times < 3; times++) await collect(planstream.plans.events({ plan_id: 'plan_1' }))
		expect(planstream.connection).toEqual({ state: 'idle', transport: 'sse', error: null })
		expect(handshakes).toBe(1)
	})

	it('lists plans and agents, and publishes events of external plans', async () => {
		await using server = await startTestServer()
		await using planstream = createPlanstreamClient({ url: server.url })
		await planstream.plans.create({ ...THREE_STEPS, labels: { team: 'a, b' } })
		const batch = [{ event_id: 'e1', event_type: 'plan_started', data: { query: 'Why?', total_steps: 1 } }] as const
		const first = await planstream.events.publish({ plan_id: 'foreign', events: batch })
		const again = await planstream.events.publish({ plan_id: 'foreign', events: batch })
		expect(again).toEqual({ ...first, results: [{ event_id: 'e1', seq: 1, duplicate: true }] })
		const { plans } = await planstream.plans.list({ label: ['team=a, b'] })
		expect(plans.map(({ plan_id }) => plan_id)).toEqual(['plan_1'])
		expect((await planstream.plans.list()).plans).toHaveLength(2)
		expect((await planstream.agents.list()).agents).toContainEqual(expect.objectContaining({ agent_type: 'scripted' }))
	})

	it('throws the code, the message and the facts when a call is refused', async () => {
		await using server = await startTestServer()
		await using planstream = createPlanstreamClient({ url: server.url })
		const missing = await planstream.plans.get({ plan_id: 'nobody' }).catch((error: unknown) => error)
		expect(missing).toBeInstanceOf(PlanstreamError)
		expect(missing).toMatchObject({ code: 'not_found', message: expect.stringContaining('nobody'), facts: { plan_id: 'nobody' } })
	})

	it('names the address that did not answer', async () => {
		await using server = await startTestServer()
		await using proxy = await startFaultProxy(server.url)
		proxy.away = true
		await using planstream = createPlanstreamClient({ url: proxy.url })
		await expect(planstream.plans.list()).rejects.toThrow(`Cannot reach ${proxy.url}`)
	})

	it('refuses further calls once it is closed', async () => {
		const planstream = createPlanstreamClient({ url: 'http://localhost:1' })
		const before = planstream.plans.events({ plan_id: 'p' })
		await planstream.close()
		expect(planstream.connection.state).toBe('closed')
		expect(await before.next()).toEqual({ done: true, value: undefined })
		expect(() => planstream.plans.events({ plan_id: 'p' })).toThrow(/is closed/)
		await expect(planstream.plans.list()).rejects.toThrow(/is closed/)
	})
})

it('has no name in common with the server for another thing', () => {
	const known = new Map<string, unknown>(Object.entries(client))
	const common = Object.entries(server).filter(([name]) => known.has(name))
	expect(common).toEqual([['PlanstreamError', known.get('PlanstreamError')]])
})
