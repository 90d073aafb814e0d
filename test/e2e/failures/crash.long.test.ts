import type { PlanEvent } from '@planstream/shared'
import { describe, expect, it } from 'vitest'
import { ServerProcess } from '../../support/servers/server-process.js'
import { Acknowledged, publishUntil, quickClient, watch } from '../../support/streams/crash-traffic.js'

const SCALE = Number(process.env.PLANSTREAM_TEST_SCALE ?? 1)
const KILLS = Math.ceil(5 * SCALE)
const PLANS = ['a', 'b', 'c', 'd']
const PUBLISHERS = 8
const SUBSCRIBERS = 40

async function readPlan(server: ServerProcess, plan_id: string): Promise<PlanEvent[]> {
	const answer = await fetch(`${server.url}/api/v1/streaming/plans/${plan_id}/events`)
	const data = (await answer.text()).split('\n').filter((line) => line.startsWith('data: '))
	return data.map((line) => JSON.parse(line.slice('data: '.length)) as PlanEvent).filter((item) => 'event_type' in item)
}

describe('a server that is killed with SIGKILL', () => {
	it(`loses and duplicates nothing: ${PUBLISHERS} publishers, ${SUBSCRIBERS} subscribers, ${KILLS} kills`, async () => {
		await using server = await ServerProcess.start()
		await using planstream = quickClient(server.url)
		const acknowledged = new Acknowledged()
		const stop = new AbortController()
		const planOf = (index: number) => PLANS[index % PLANS.length] ?? ''
		const watched = Array.from({ length: SUBSCRIBERS }, (_, index) =>
			watch(server.url, planOf(index), Math.floor(index / PLANS.length)),
		)
		const publishing = Array.from({ length: PUBLISHERS }, (_, index) =>
			publishUntil(stop.signal, planstream, { plan_id: planOf(index), name: `p${index}`, burst: 1 + index, acknowledged }),
		)
		for (let kill = 0; kill < KILLS; kill++) {
			await acknowledged.more(1 + ((kill * 37) % 101))
			await server.kill()
			await server.restart()
		}
		await acknowledged.more(100)
		stop.abort()
		await Promise.all(publishing)
		for (const plan_id of PLANS)
			await planstream.events.publish({ plan_id, events: [{ event_type: 'plan_completed', data: {} }] })
		await Promise.all(watched.map(({ ended }) => ended))

		const logs = new Map(await Promise.all(PLANS.map(async (plan_id) => [plan_id, await readPlan(server, plan_id)] as const)))
		const events = [...logs.values()].flat()
		const seqs = new Map(events.map(({ event_id, seq }) => [event_id, seq]))
		expect(seqs.size).toBe(events.length)
		expect(events).toHaveLength(acknowledged.seqs.size + PLANS.length)
		for (const [event_id, seq] of acknowledged.seqs) expect(seqs.get(event_id)).toBe(seq)
		for (const { name, plan_id, event_ids, faults } of watched) {
			expect(faults, name).toEqual([])
			expect(event_ids, name).toEqual(logs.get(plan_id)?.map(({ event_id }) => event_id))
		}
	})

	it('continues its plans: the cut attempt is worker_lost, and completed steps never run again', async () => {
		await using server = await ServerProcess.start({ PLANSTREAM_SCRIPTED: '1' })
		const hanging = { updates: [{ progress: 0.5 }, { wait_ms: 600_000 }], result: {} }
		const steps = [
			{ step_id: 'a', action: 'x', agent_type: 'scripted', input: { result: { done: true } } },
			{ step_id: 'b', action: 'x', agent_type: 'scripted', input: hanging, timeout_ms: 1000, retry: { max_attempts: 1 } },
		]
		const created = await fetch(`${server.url}/api/v1/plans`, {
			method: 'POST',
			headers: { 'content-type': 'application/json' },
			body: JSON.stringify({ plan_id: 'p', query: 'q', steps }),
		})
		expect(created.status).toBe(201)
		for (let step = 'a'; step !== 'running'; ) {
			const state = (await (await fetch(`${server.url}/api/v1/plans/p`)).json()) as { steps: { status: string }[] }
			step = state.steps[1]?.status ?? ''
		}
		await server.kill()
		await server.restart()
		const events = await readPlan(server, 'p')
		const retry = events.find((event) => event.event_type === 'step_retrying')
		expect(retry).toMatchObject({ step_id: 'b', data: { reason: 'worker_lost', next_attempt: 2 } })
		expect(events.filter((event) => event.event_type === 'step_started' && event.step_id === 'a')).toHaveLength(1)
		expect(events.at(-1)?.event_type).toBe('plan_failed')
		expect(await server.kill('SIGTERM')).toBe(0)
	})
})
