import { createPlanstreamClient, type PlanEvent } from '@planstream/client'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type FaultProxy, startFaultProxy } from '../../support/servers/fault-proxy.js'
import { startTestServer } from '../../support/servers/test-server.js'

const AT_ONCE = { backoff: { initialMs: 0, maxMs: 0 } } as const

async function eventsOf(url: string, plan_id: string): Promise<PlanEvent[]> {
	await using planstream = createPlanstreamClient({ url })
	const events: PlanEvent[] = []
	for await (const event of planstream.plans.events({ plan_id })) events.push(event)
	return events
}

/** Publishes bursts of these sizes through the proxy, each awaited as `publish` asks, and gives the ids it was told of. */
async function publishThrough(proxy: FaultProxy, plan_id: string, bursts: readonly number[]): Promise<string[]> {
	await using planstream = createPlanstreamClient({ url: proxy.url, ...AT_ONCE })
	await using publisher = planstream.publisher(plan_id)
	const ids: string[] = []
	for (const size of bursts) {
		for (let at = 0; at < size; at++) ids.push((await publisher.stepProgress('s', at / size, 'x'.repeat(at * 5))).event_id)
		proxy.cut()
		await publisher.flush()
	}
	ids.push((await publisher.planCompleted()).event_id)
	return ids
}

describe('a publisher over a network that fails', () => {
	it('stores each event once, in order, while its connections fail', async () => {
		await using server = await startTestServer()
		await using proxy = await startFaultProxy(server.url)
		let plans = 0
		const cuts = fc.array(fc.integer({ min: 0, max: 400 }), { maxLength: 6 })
		const bursts = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 5 })
		const property = fc.asyncProperty(cuts, bursts, async (drawn, sizes) => {
			const plan_id = `plan_${++plans}`
			const left = [...drawn]
			proxy.nextCut = () => left.shift() ?? null
			const ids = await publishThrough(proxy, plan_id, sizes)
			const events = await eventsOf(server.url, plan_id)
			expect(events.map(({ event_id }) => event_id)).toEqual(ids)
		})
		await fc.assert(property, { seed: 40, numRuns: 20, endOnFailure: true })
	})

	it('continues after a restart of its producer, which publishes the same ids in other batches', async () => {
		await using server = await startTestServer()
		await using planstream = createPlanstreamClient({ url: server.url })
		const run = async (upTo: number) => {
			await using publisher = planstream.publisher('plan_1')
			for (let at = 0; at < upTo; at++)
				await publisher.publish({ event_id: `e${at}`, event_type: 'step_progress', step_id: 's', data: { progress: at / 600 } })
		}
		await run(300)
		await run(600)
		expect((await planstream.plans.get({ plan_id: 'plan_1' })).seq).toBe(600)
	})

	it('stops at the event that the server refuses, and stores nothing behind it', async () => {
		await using server = await startTestServer()
		await using planstream = createPlanstreamClient({ url: server.url })
		const publisher = planstream.publisher('plan_1')
		await publisher.planStarted('Why?', 1)
		await publisher.flush()
		const { event_id, stored } = await publisher.stepProgress('s', 7)
		await expect(stored).rejects.toMatchObject({ code: 'invalid_event', facts: { path: 'events.0.data.progress', event_id } })
		await expect(publisher.planCompleted()).rejects.toMatchObject({ code: 'illegal_transition' })
		await expect(publisher.close()).rejects.toMatchObject({ code: 'invalid_event' })
		expect(await planstream.plans.get({ plan_id: 'plan_1' })).toMatchObject({ seq: 1, status: 'running' })
	})
})
