import { describe, expect, it } from 'vitest'
import type { RunningServer } from '../../../server/src/server.js'
import { post, sendRequest } from '../../support/http-request.js'
import { startTestServer } from '../../support/servers/test-server.js'

const LARGE = { text: 'x'.repeat(10_000) }
const STEP = { step_id: 'one', action: 'search', agent_type: 'scripted', input: { result: LARGE } }
const history = (plan_id: string) => `/api/v1/streaming/plans/${plan_id}/history`
const events = (plan_id: string) => `/api/v1/streaming/plans/${plan_id}/events`

const clear = (server: RunningServer, plan_id: string) => sendRequest(server, history(plan_id), { method: 'DELETE' })

/** Publishes a managed and an external plan, both with a large result. */
async function finishedPlans(server: RunningServer): Promise<readonly string[]> {
	await post(server, '/api/v1/plans', { plan_id: 'managed', query: 'q', steps: [STEP] })
	await sendRequest(server, events('managed'))
	const published = [
		{ event_type: 'step_completed', step_id: 'one', data: { data: LARGE } },
		{ event_type: 'plan_completed', data: { result: { one: LARGE } } },
	]
	await post(server, events('external'), { events: published })
	return ['managed', 'external']
}

describe.each(['memory', 'sqlite'] as const)('clearing the history of a plan, kept in %s', (store) => {
	it('drops the events of a finished plan, keeps its state and results, and reports this to later readers', async () => {
		await using server = await startTestServer({ store })
		for (const plan_id of await finishedPlans(server)) {
			const state = await sendRequest(server, `/api/v1/plans/${plan_id}`)
			const { seq, cursor } = state.body as { seq: number; cursor: string }
			expect(await clear(server, plan_id)).toMatchObject({ status: 200, body: { plan_id, cleared: seq, cursor } })
			expect((await sendRequest(server, `/api/v1/plans/${plan_id}`)).body).toEqual(state.body)
			expect((await sendRequest(server, `/api/v1/plans/${plan_id}/result`)).body).toEqual({ plan_id, result: { one: LARGE } })
			expect((await sendRequest(server, `/api/v1/plans/${plan_id}/steps/one/result`)).body).toMatchObject({ result: LARGE })
			const stream = (await sendRequest(server, events(plan_id))).text
			expect(stream).toContain('"reset":{"reason":"cleared"}')
			expect(stream).not.toContain('event_type')
			expect((await sendRequest(server, `${events(plan_id)}?after=${cursor}`)).status).toBe(204)
			expect((await clear(server, plan_id)).body).toEqual({ plan_id, cleared: 0, cursor })
		}
	})
})

describe('clearing', () => {
	it('is refused while a plan is unfinished, and when it does not exist', async () => {
		await using server = await startTestServer()
		await post(server, '/api/v1/plans', { plan_id: 'p', query: 'q', steps: [STEP], start: false })
		expect(await clear(server, 'p')).toMatchObject({
			status: 409,
			body: { code: 'illegal_transition', from: 'pending', requested: 'clear', allowed: ['start', 'cancel', 'modify', 'clone'] },
		})
		expect(await clear(server, 'none')).toMatchObject({ status: 404, body: { code: 'not_found', plan_id: 'none' } })
		expect(await sendRequest(server, '/api/v1/plans/p/result')).toMatchObject({
			status: 404,
			body: { status: 404, code: 'not_found', plan_status: 'pending' },
		})
	})

	it('lets a failed plan continue its numbering when it is retried', async () => {
		await using server = await startTestServer()
		const failing = { ...STEP, input: { fail: { times: 1, code: 'x', message: 'x', retryable: false } } }
		await post(server, '/api/v1/plans', { plan_id: 'p', query: 'q', steps: [failing] })
		await sendRequest(server, events('p'))
		const { cursor, cleared } = (await clear(server, 'p')).body as { cursor: string; cleared: number }
		expect((await post(server, '/api/v1/plans/p/retry')).body).toMatchObject({ changed: true })
		const stream = (await sendRequest(server, `${events('p')}?after=${cursor}`)).text
		expect(stream).toContain('"reset":null')
		expect(stream).toContain(`{"seq":${cleared + 1},`)
		expect(stream).toContain('"reason":"completed"')
	})
})
