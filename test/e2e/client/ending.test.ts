import { createPlanstreamClient, type Planstream, type TransportName } from '@planstream/client'
import { describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { startTestServer } from '../../support/servers/test-server.js'

const TRANSPORTS: readonly TransportName[] = ['websocket', 'sse', 'poll']
const EVENTS = 1000

async function publishMany(planstream: Planstream, plan_id: string): Promise<void> {
	const output = { event_type: 'step_output', step_id: 'a', data: { delta: 'x'.repeat(50) } } as const
	for (let sent = 0; sent < EVENTS; sent += 250) {
		await planstream.events.publish({ plan_id, events: Array.from({ length: 250 }, () => output) })
	}
}

describe.each(TRANSPORTS)('a loop over a thousand events on %s', (transport) => {
	it('gets no event after its signal has aborted, nor after the client has closed', async () => {
		await using server = await startTestServer()
		await using producer = createPlanstreamClient({ url: server.url })
		await publishMany(producer, 'many')
		const endings = {
			abort: (abort: AbortController, _: Planstream) => abort.abort(),
			close: (_: AbortController, planstream: Planstream) => void planstream.close(),
		}
		for (const [name, end] of Object.entries(endings)) {
			await using planstream = createPlanstreamClient({ url: server.url, transport, WebSocket })
			const abort = new AbortController()
			let seen = 0
			for await (const _ of planstream.plans.events({ plan_id: 'many' }, { signal: abort.signal })) {
				if (++seen === 50) end(abort, planstream)
			}
			expect([name, seen]).toEqual([name, 50])
		}
	})

	it('ends its generator at once on return and throw while an event is awaited', async () => {
		await using server = await startTestServer()
		await using planstream = createPlanstreamClient({ url: server.url, transport, WebSocket })
		await planstream.events.publish({
			plan_id: 'open',
			events: [{ event_type: 'plan_started', data: { query: 'q', total_steps: 1 } }],
		})
		const returned = planstream.plans.events({ plan_id: 'open' })
		await returned.next()
		const waiting = returned.next()
		await returned.return()
		expect(await waiting).toEqual({ done: true, value: undefined })
		const thrown = planstream.plans.events({ plan_id: 'open' })
		await thrown.next()
		const awaited = thrown.next()
		await expect(thrown.throw(new Error('enough'))).rejects.toThrow('enough')
		expect(await awaited).toEqual({ done: true, value: undefined })
		await expect.poll(() => server.report().subscriptions).toBe(0)
	})
})

it('a watch yields no state when its signal aborts in onEvent', async () => {
	await using server = await startTestServer()
	await using planstream = createPlanstreamClient({ url: server.url })
	await publishMany(planstream, 'many')
	const abort = new AbortController()
	const heard: number[] = []
	const onEvent = ({ seq }: { seq: number }): void => {
		heard.push(seq)
		if (seq === 3) abort.abort()
	}
	const states: number[] = []
	for await (const { seq } of planstream.plans.watch('many', { from: 'start', onEvent, signal: abort.signal })) states.push(seq)
	expect([heard, states]).toEqual([
		[1, 2, 3],
		[1, 2],
	])
})

it('a publisher whose events are all stored closes without an error after its client', async () => {
	await using server = await startTestServer()
	const planstream = createPlanstreamClient({ url: server.url })
	const publisher = planstream.publisher('p')
	await publisher.planStarted('q', 1)
	await publisher.flush()
	await planstream.close()
	expect([publisher.state, publisher.stoppedBy]).toEqual(['closed', null])
	await publisher.flush()
	await publisher.close()
	await expect(publisher.planCompleted({})).rejects.toMatchObject({ code: 'illegal_transition' })
})

it('a publisher with an event that is not stored rejects when it is closed after its client', async () => {
	const planstream = createPlanstreamClient({ url: 'http://127.0.0.1:9' })
	const publisher = planstream.publisher('p')
	await publisher.planStarted('q', 1)
	await planstream.close()
	await expect(publisher.close()).rejects.toMatchObject({ code: 'illegal_transition' })
	expect(publisher.state).toBe('stopped')
})
