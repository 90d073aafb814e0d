import { createPlanstreamClient } from '@planstream/client'
import { describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { startTestServer } from '../../support/servers/test-server.js'

/** A fetch as React Native has it: the body arrives as a whole, when the response has ended. */
const plainFetch = (async (input: string, init?: RequestInit) => {
	const response = await fetch(input, init)
	const { ok, status, headers, url } = response
	return { ok, status, headers, url, body: undefined, text: () => response.text() }
}) as unknown as typeof fetch

const plan = (plan_id: string) => ({
	plan_id,
	query: 'q',
	steps: [{ step_id: 's', action: 'a', agent_type: 'scripted', input: { updates: [{ progress: 0.5 }], result: {} } }],
})

describe('a client whose fetch has no streaming bodies', () => {
	it.each([
		['auto', 'poll'],
		['poll', 'poll'],
	] as const)('follows a plan to its end on %s, by %s', async (transport, used) => {
		await using server = await startTestServer()
		await using planstream = createPlanstreamClient({
			url: server.url,
			transport,
			fetch: plainFetch,
			WebSocket: NoWebSocket as never,
		})
		await planstream.plans.create(plan('rn'))
		const seqs: number[] = []
		for await (const { seq } of planstream.plans.events({ plan_id: 'rn' })) seqs.push(seq)
		expect(seqs).toEqual(Array.from(seqs, (_, index) => index + 1))
		expect(seqs.length).toBeGreaterThanOrEqual(5)
		expect(planstream.connection.transport).toBe(used)
		expect((await planstream.plans.run(plan('again'))).state.status).toBe('completed')
	})

	it('follows a plan over a WebSocket', async () => {
		await using server = await startTestServer()
		await using planstream = createPlanstreamClient({ url: server.url, fetch: plainFetch, WebSocket })
		expect((await planstream.plans.run(plan('rn'))).state.status).toBe('completed')
		expect(planstream.connection.transport).toBe('websocket')
	})

	it('is told what is missing on sse', async () => {
		await using server = await startTestServer()
		await using planstream = createPlanstreamClient({ url: server.url, transport: 'sse', fetch: plainFetch })
		await expect(planstream.plans.events({ plan_id: 'p' }).next()).rejects.toMatchObject({
			code: 'bad_request',
			message: expect.stringContaining('This fetch gives no streaming body'),
			facts: { path: 'fetch' },
		})
	})

	it('leaves its loop at once while a response is awaited', async () => {
		await using server = await startTestServer()
		const abort = new AbortController()
		await using planstream = createPlanstreamClient({ url: server.url, transport: 'poll', fetch: plainFetch })
		await planstream.events.publish({
			plan_id: 'p',
			events: [{ event_type: 'plan_started', data: { query: 'q', total_steps: 1 } }],
		})
		for await (const _ of planstream.plans.events({ plan_id: 'p' }, { signal: abort.signal })) setImmediate(() => abort.abort())
		await expect.poll(() => server.report().subscriptions).toBe(0)
	})
})

class NoWebSocket {
	constructor() {
		throw new Error('There is none.')
	}
}
