import type { PublishOutput } from '@planstream/shared'
import { describe, expect, it } from 'vitest'
import type { RunningServer } from '../../../server/src/server.js'
import { getProblem, post, sendRequest } from '../../support/http-request.js'
import { startTestServer } from '../../support/servers/test-server.js'

const STEP = { step_id: 'one', action: 'search', agent_type: 'scripted', input: { result: { found: 3 } } }
const PLAN = { plan_id: 'plan_1', query: 'Which?', steps: [STEP] }
const EVENTS = '/api/v1/streaming/plans/external_1/events'

/** Resolves when the plan has come to its end: the stream ends there. */
async function finished(server: RunningServer, plan_id: string): Promise<string> {
	return (await sendRequest(server, `/api/v1/streaming/plans/${plan_id}/events`)).text
}

const started = (event_id: string) => ({ event_id, event_type: 'plan_started', data: { query: 'Which?', total_steps: 1 } })
const progress = (event_id: string, fraction: number) => ({
	event_id,
	event_type: 'step_progress',
	step_id: 'one',
	data: { progress: fraction },
})

describe.each(['memory', 'sqlite'] as const)('plans over REST, kept in %s', (store) => {
	it('creates a plan, runs it, shows its state and lists it', async () => {
		await using server = await startTestServer({ store })
		const created = await post(server, '/api/v1/plans', { ...PLAN, labels: { team: 'a' } })
		expect(created.status).toBe(201)
		expect(created.body).toMatchObject({ plan_id: 'plan_1', changed: true, status: 'running', revision: 1 })
		expect(created.headers['content-type']).toBe('application/json')
		await finished(server, 'plan_1')
		const state = await sendRequest(server, '/api/v1/plans/plan_1')
		expect(state.body).toMatchObject({ status: 'completed', progress: 1, result: { one: { found: 3 } } })
		const list = await sendRequest(server, '/api/v1/plans?status=completed,failed&label=team=a&query=WHICH&limit=1')
		expect(list.body).toMatchObject({ plans: [{ plan_id: 'plan_1', status: 'completed' }], next_page: null })
		expect((await sendRequest(server, '/api/v1/plans?label=team=b')).body).toEqual({ plans: [], next_page: null })
	})

	it('refuses a label that no filter could find, at creation and in events', async () => {
		await using server = await startTestServer({ store })
		const refused = { code: 'bad_request', path: 'labels.a=b', detail: expect.stringContaining('other than "="') }
		expect((await post(server, '/api/v1/plans', { ...PLAN, labels: { 'a=b': 'c' } })).body).toMatchObject(refused)
		const spec = { ...PLAN, labels: { 'a=b': 'c' } }
		const events = [{ event_id: 'e', event_type: 'plan_created', data: { spec } }]
		expect((await post(server, '/api/v1/streaming/plans/p/events', { events })).body).toMatchObject({ code: 'invalid_event' })
		await post(server, '/api/v1/plans', { ...PLAN, labels: { 'a b/c': 'd=e' } })
		const list = await sendRequest(server, `/api/v1/plans?label=${encodeURIComponent('a b/c=d=e')}`)
		expect(list.body).toMatchObject({ plans: [{ labels: { 'a b/c': 'd=e' } }] })
	})

	it('creates a plan without starting it, and returns it when it is created again', async () => {
		await using server = await startTestServer({ store })
		const plan = { ...PLAN, start: false }
		expect((await post(server, '/api/v1/plans', plan)).body).toMatchObject({ changed: true, status: 'pending' })
		expect((await post(server, '/api/v1/plans', plan)).body).toMatchObject({ changed: false, status: 'pending' })
		expect(await post(server, '/api/v1/plans', { ...plan, query: 'Other?' })).toMatchObject({
			status: 409,
			body: { code: 'conflict' },
		})
		expect((await post(server, '/api/v1/plans/plan_1/start')).body).toMatchObject({ changed: true, status: 'running' })
		expect(await finished(server, 'plan_1')).toContain('"plan_completed"')
	})

	it('publishes events, answers the same batch again alike, and refuses contradictions', async () => {
		await using server = await startTestServer({ store })
		const batch = { events: [started('e1'), progress('e2', 0.5)] }
		const first = (await post(server, EVENTS, batch)).body as PublishOutput
		expect(first.results).toEqual([
			{ event_id: 'e1', seq: 1, duplicate: false },
			{ event_id: 'e2', seq: 2, duplicate: false },
		])
		expect(first.cursor).toContain(`${first.epoch}.2.`)
		const again = (await post(server, EVENTS, { ...batch, expected_seq: 0 })).body as PublishOutput
		expect(again).toEqual({ ...first, results: first.results.map((result) => ({ ...result, duplicate: true })) })
		const mixed = await post(server, EVENTS, { events: [progress('e2', 0.5), progress('e3', 0.6)] })
		expect(mixed).toMatchObject({ status: 409, body: { code: 'conflict', duplicates: ['e2'] } })
		const other = await post(server, EVENTS, { events: [progress('e2', 0.9)] })
		expect(other).toMatchObject({ status: 409, body: { code: 'conflict', event_id: 'e2' } })
		const stale = await post(server, EVENTS, { events: [progress('e4', 0.9)], expected_seq: 1 })
		expect(stale).toMatchObject({ status: 409, body: { code: 'conflict', head_seq: 2 } })
		const next = await post(server, EVENTS, { events: [progress('e4', 0.9)], expected_seq: 2 })
		expect(next).toMatchObject({ status: 200, body: { results: [{ seq: 3 }] } })
	})
})

describe('publishing over REST', () => {
	it('is refused for managed plans, as commands are for external ones', async () => {
		await using server = await startTestServer()
		await post(server, '/api/v1/plans', { ...PLAN, start: false })
		const managed = await post(server, '/api/v1/streaming/plans/plan_1/events', { events: [started('e1')] })
		expect(managed).toMatchObject({ status: 409, body: { code: 'plan_managed', plan_id: 'plan_1' } })
		await post(server, EVENTS, { events: [started('e1')] })
		const external = await post(server, '/api/v1/plans/external_1/start')
		expect(external).toMatchObject({ status: 409, body: { code: 'plan_external' } })
	})

	it('accepts nothing after the end, but answers a batch that was stored before', async () => {
		await using server = await startTestServer()
		const end = { event_id: 'end', event_type: 'plan_completed', data: {} }
		await post(server, EVENTS, { events: [started('e1'), end] })
		const late = await post(server, EVENTS, { events: [progress('late', 1)] })
		expect(late).toMatchObject({ status: 409, body: { code: 'illegal_transition', from: 'completed', allowed: [] } })
		const again = await post(server, EVENTS, { events: [started('e1'), end] })
		expect(again).toMatchObject({ status: 200, body: { results: [{ duplicate: true }, { duplicate: true }] } })
	})

	it('truncates microseconds and reads a time without a zone as UTC', async () => {
		await using server = await startTestServer()
		await post(server, EVENTS, { events: [{ ...started('e1'), timestamp: '2026-01-31T12:00:00.123456' }] })
		expect((await sendRequest(server, '/api/v1/plans/external_1')).body).toMatchObject({ started_at: '2026-01-31T12:00:00.123Z' })
	})

	it('compares events as they were sent, before defaults are filled in', async () => {
		await using server = await startTestServer()
		const terse = { event_id: 'e1', event_type: 'plan_resumed', data: {} }
		await post(server, EVENTS, { events: [terse] })
		const spelledOut = await post(server, EVENTS, { events: [{ ...terse, data: { reason: 'manual' } }] })
		expect(spelledOut).toMatchObject({ status: 409, body: { code: 'conflict', event_id: 'e1' } })
	})
})

describe('the routes', () => {
	it('are listed at the root, and include the health checks', async () => {
		await using server = await startTestServer()
		const index = (await sendRequest(server, '/')).body as { procedures: { name: string; method: string; path: string }[] }
		const publish = { name: 'events.publish', method: 'POST', path: '/api/v1/streaming/plans/{plan_id}/events' }
		expect(index.procedures).toContainEqual(expect.objectContaining(publish))
		expect((await sendRequest(server, '/health/live')).body).toEqual({ status: 'live' })
		expect((await sendRequest(server, '/health/ready')).body).toEqual({ status: 'ready' })
		expect((await sendRequest(server, '/api/v1/agents')).body).toEqual({
			agents: expect.arrayContaining([expect.objectContaining({ agent_type: 'scripted' })]),
		})
	})

	it('answer HEAD without a body and OPTIONS without work', async () => {
		await using server = await startTestServer()
		expect(await sendRequest(server, '/api/v1/plans', { method: 'HEAD' })).toMatchObject({ status: 200, text: '' })
		const options = await sendRequest(server, EVENTS, { method: 'OPTIONS' })
		expect(options).toMatchObject({ status: 204, headers: { allow: 'GET, POST, HEAD, OPTIONS' } })
	})

	it('accept a slash at the end', async () => {
		await using server = await startTestServer()
		expect((await sendRequest(server, '/api/v1/plans/')).body).toEqual({ plans: [], next_page: null })
	})
})

describe('the origin guard', () => {
	it('answers pages of this machine on any port, and their preflight', async () => {
		await using server = await startTestServer()
		for (const origin of ['http://localhost:5173', 'http://127.0.0.1:8080', 'http://[::1]:9']) {
			const answer = await sendRequest(server, '/api/v1/plans', { headers: { origin } })
			expect(answer).toMatchObject({ status: 200, headers: { 'access-control-allow-origin': origin, vary: 'origin' } })
		}
		const headers = {
			origin: 'http://localhost:5173',
			'access-control-request-method': 'POST',
			'access-control-request-headers': 'content-type',
		}
		for (const address of ['/api/v1/plans', '/trpc/plans.create']) {
			const preflight = await sendRequest(server, address, { method: 'OPTIONS', headers })
			expect(preflight.status).toBe(204)
			expect(preflight.headers['access-control-allow-methods']).toContain('POST')
			expect(preflight.headers['access-control-allow-headers']).toBe('content-type')
		}
	})

	it('lets a page read the reason of a refusal', async () => {
		await using server = await startTestServer()
		const answer = await sendRequest(server, '/api/v1/plans/none', { headers: { origin: 'http://localhost:5173' } })
		expect(answer).toMatchObject({ status: 404, headers: { 'access-control-allow-origin': 'http://localhost:5173' } })
	})

	it.each([
		[{ origin: 'http://evil.example' }, 'origin'],
		[{ origin: 'null' }, 'origin'],
		[{ origin: 'http://localhost.evil.example' }, 'origin'],
		[{ host: 'evil.example' }, 'host'],
		[{ host: 'evil.example:3000' }, 'host'],
		[{ 'x-forwarded-for': '203.0.113.9' }, 'x-forwarded-for'],
		[{ forwarded: 'for=203.0.113.9' }, 'forwarded'],
	])('refuses a request with %j', async (headers, header) => {
		await using server = await startTestServer()
		for (const address of ['/api/v1/plans', '/trpc/plans.list?input={}', '/health/live', EVENTS]) {
			const answer = await sendRequest(server, address, { headers })
			expect(answer.status).toBe(403)
			expect(getProblem(answer)).toMatchObject({ code: 'forbidden', header })
			// The page may read that it is refused, and nothing else.
			expect(answer.headers['access-control-allow-origin']).toBe('origin' in headers ? headers.origin : undefined)
		}
	})
})
