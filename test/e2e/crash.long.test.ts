import { setTimeout as wait } from 'node:timers/promises'
import type { PlanEvent, PublishOutput } from '@planstream/shared'
import { describe, expect, it } from 'vitest'
import { ServerProcess } from '../support/server-process.js'

const SCALE = Number(process.env.PLANSTREAM_TEST_SCALE ?? 1)
const EVENTS = 1000 * SCALE
const BATCH = 5

/** Publishes a batch until it is acknowledged, the very same one each time. */
async function publish(server: ServerProcess, first: number): Promise<PublishOutput> {
	const events = Array.from({ length: BATCH }, (_, index) => ({
		event_id: `e${first + index}`,
		event_type: 'error',
		data: { code: 'x', message: 'y'.repeat(200) },
	}))
	for (;;) {
		try {
			const answer = await fetch(`${server.url}/api/v1/streaming/plans/p/events`, {
				method: 'POST',
				headers: { 'content-type': 'application/json' },
				body: JSON.stringify({ events }),
			})
			if (answer.ok) return (await answer.json()) as PublishOutput
			expect(answer.status, await answer.text()).toBe(503)
		} catch (error) {
			if (!(error instanceof TypeError)) throw error
		}
		await wait(5)
	}
}

async function readPlan(server: ServerProcess): Promise<PlanEvent[]> {
	const answer = await fetch(`${server.url}/api/v1/streaming/plans/p/events`)
	const data = (await answer.text()).split('\n').filter((line) => line.startsWith('data: '))
	return data.map((line) => JSON.parse(line.slice('data: '.length)) as PlanEvent).filter((item) => 'event_type' in item)
}

describe('a server that is killed with -9', () => {
	it(`loses nothing it has acknowledged: ${EVENTS} events, three kills`, async () => {
		await using server = await ServerProcess.start()
		const acknowledged = new Map<string, number>()
		const killAt = [0.2, 0.5, 0.8].map((part) => part * EVENTS)
		let next = 0
		const publisher = async () => {
			while (next < EVENTS) {
				const first = next
				next += BATCH
				const { results } = await publish(server, first)
				for (const { event_id, seq } of results) acknowledged.set(event_id, seq)
				const [due] = killAt
				if (due === undefined || acknowledged.size < due) continue
				killAt.shift()
				await server.kill()
				await server.restart()
			}
		}
		await Promise.all(Array.from({ length: 8 }, publisher))
		expect(killAt).toEqual([])
		await fetch(`${server.url}/api/v1/streaming/plans/p/events`, {
			method: 'POST',
			headers: { 'content-type': 'application/json' },
			body: JSON.stringify({ events: [{ event_type: 'plan_completed', data: {} }] }),
		})
		const events = await readPlan(server)
		expect(acknowledged.size).toBe(EVENTS)
		expect(events.map((event) => event.seq)).toEqual(events.map((_, index) => index + 1))
		expect(events).toHaveLength(EVENTS + 1)
		for (const event of events.slice(0, -1)) expect(acknowledged.get(event.event_id)).toBe(event.seq)
	})

	it('goes on with its plans: the cut attempt is worker_lost, completed steps never run again', async () => {
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
		const events = await readPlan(server)
		const retry = events.find((event) => event.event_type === 'step_retrying')
		expect(retry).toMatchObject({ step_id: 'b', data: { reason: 'worker_lost', next_attempt: 2 } })
		expect(events.filter((event) => event.event_type === 'step_started' && event.step_id === 'a')).toHaveLength(1)
		expect(events.at(-1)?.event_type).toBe('plan_failed')
		expect(await server.kill('SIGTERM')).toBe(0)
	})
})
