import { gzipSync } from 'node:zlib'
import type { Problem } from '@planstream/shared'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { RunningServer } from '../../../server/src/server.js'
import { getProblem, type HttpResponse, post, type RequestOptions, sendRequest } from '../../support/http-request.js'
import { startTestServer } from '../../support/servers/test-server.js'

const PLANS = '/api/v1/plans'
const EVENTS = '/api/v1/streaming/plans/external_1/events'
const step = (step_id: string, more: object = {}) => ({ step_id, action: 'search', agent_type: 'scripted', ...more })
const plan = (...steps: object[]) => ({ query: 'Which?', steps })
const nested = (depth: number): string => `{"query":"q","steps":[],"input":${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}}`

let server: RunningServer
beforeAll(async () => {
	server = await startTestServer()
})
afterAll(async () => {
	expect(server.report()).toEqual({ connections: 0, subscriptions: 0, watchers: 0, attempts: 0, timers: 0 })
	await server.close()
})

/** The answer is a problem with this code and these facts, and the server lives on. */
async function expectProblem(answer: HttpResponse, status: number, facts: Partial<Problem>): Promise<void> {
	expect(answer.body).toMatchObject({ ...facts, status })
	expect(answer.status).toBe(status)
	expect(answer.headers['content-type']).toBe('application/problem+json')
	const { title, detail, type, code } = answer.body as Problem
	expect({ title, type }).toEqual({ title: expect.stringMatching(/\.$/), type: `urn:planstream:${code}` })
	expect(detail).toMatch(/\.\)?$/)
	expect(answer.text).not.toMatch(/zod|invalid_type|\bat .*\.[jt]s\b/i)
	expect((await sendRequest(server, '/health/ready')).status).toBe(200)
}

it('an answer does not grow with the requested address', async () => {
	const answer = await sendRequest(server, `/${'a'.repeat(10_000)}`)
	await expectProblem(answer, 404, { code: 'not_found' })
	expect(answer.text.length).toBeLessThan(1000)
})

describe('a body', () => {
	it.each<[string, unknown, Partial<Problem>]>([
		['that is not JSON', '{"query":', {}],
		['that is no object', '[1]', {}],
		['that is a bare word', 'hello', {}],
		['that is not UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), {}],
		['that is absent', undefined, { path: 'query' }],
		['with a value of the wrong type', { ...plan(step('a')), query: 5 }, { path: 'query' }],
		['with a field nobody knows', { ...plan(step('a')), qeury: 'q' }, { path: '' }],
		['with too few items', plan(), { path: 'steps' }],
		['with a number out of bounds', { ...plan(step('a')), max_concurrency: 0 }, { path: 'max_concurrency' }],
		['with an unsafe integer', '{"query":"q","steps":[],"input":{"n":[9007199254740993]}}', { path: 'input.n[0]' }],
		['with a number beyond all numbers', '{"query":"q","steps":[],"input":{"n":1e999}}', { path: 'input.n' }],
		['that nests too deep', nested(40), { limit: 32 }],
		['that nests very deep', nested(100_000), { limit: 32 }],
		['with a forbidden key', '{"query":"q","steps":[],"input":{"__proto__":{"admin":true}}}', { path: 'input.__proto__' }],
		['with a forbidden key at its top', '{"__proto__":{"query":"q"}}', { path: '__proto__' }],
	])('%s is a bad request', async (_what, body, facts) => {
		await expectProblem(await post(server, PLANS, body), 400, { code: 'bad_request', ...facts })
	})

	it('is refused with a sentence that names the fault', async () => {
		const sentence = async (body: unknown) => ((await post(server, PLANS, body)).body as Problem).detail
		expect(await sentence({ ...plan(step('a')), query: 5 })).toBe('query must be a string, but is 5.')
		expect(await sentence({ steps: [step('a')] })).toBe('query is missing; it must be a string.')
		expect(await sentence(plan(step('a', { on_failure: 'stop' })))).toBe(
			'steps[0].on_failure must be one of "fail", "skip_dependents", "continue", but is "stop".',
		)
		expect(await sentence({ ...plan(step('a')), qeury: 'q' })).toBe(
			'The input has no field named "qeury". Correct the name or leave it out.',
		)
		expect(await sentence({ ...plan(step('a', { retry: { max_attempts: 0 } })), plan_id: 'a/b' })).toBe(
			'plan_id must be 1 to 255 letters, digits, "_" or "-". (1 more to correct.)',
		)
	})

	it.each<[string, RequestOptions]>([
		['announced', { body: 'x'.repeat(2 * 1024 * 1024) }],
		['sent in chunks', { body: Array.from({ length: 40 }, () => Buffer.alloc(64 * 1024, 'x')) }],
	])('is too large on every transport when it exceeds the limit: %s', async (_how, question) => {
		await expectProblem(await sendRequest(server, PLANS, { method: 'POST', ...question }), 413, {
			code: 'too_large',
			limit: 1024 * 1024,
		})
		const trpc = await sendRequest(server, '/trpc/plans.create', { method: 'POST', ...question })
		expect([trpc.status, getProblem(trpc)?.code]).toEqual([413, 'too_large'])
	})

	it('is refused by the name of its encoding when it is compressed', async () => {
		const headers = { 'content-type': 'application/json', 'content-encoding': 'gzip' }
		const answer = await sendRequest(server, PLANS, { method: 'POST', headers, body: gzipSync('{}') })
		await expectProblem(answer, 400, { code: 'bad_request', path: 'content-encoding' })
	})

	it('is refused on tRPC, too, when it is not UTF-8', async () => {
		const body = Buffer.from('{"query":"\xff"}', 'latin1')
		const answer = await sendRequest(server, '/trpc/plans.create', {
			method: 'POST',
			headers: { 'content-type': 'application/json' },
			body,
		})
		expect([answer.status, getProblem(answer)?.code]).toEqual([400, 'bad_request'])
	})
})

describe('a plan', () => {
	it.each<[string, object, string]>([
		['with a cycle', plan(step('a', { depends_on: ['b'] }), step('b', { depends_on: ['a'] })), 'steps[0].depends_on'],
		['with an unknown dependency', plan(step('a', { depends_on: ['z'] })), 'steps[0].depends_on'],
		['with a doubled id', plan(step('a'), step('a')), 'steps[1].step_id'],
		['with an agent nobody has', plan(step('a', { agent_type: 'nobody' })), 'steps[0].agent_type'],
		['with a slash in its id', { ...plan(step('a')), plan_id: 'a/b' }, 'plan_id'],
		['with a line break in its id', { ...plan(step('a')), plan_id: 'a\nb' }, 'plan_id'],
		['with the reserved id', { ...plan(step('a')), plan_id: 'system' }, 'plan_id'],
		['with a slash in the id of a step', plan(step('a/b')), 'steps[0].step_id'],
	])('%s is a bad request', async (_what, body, path) => {
		await expectProblem(await post(server, PLANS, body), 400, { code: 'bad_request', path })
	})
})

describe('an address', () => {
	it.each<[string, number, Partial<Problem>]>([
		['/nowhere', 404, { code: 'not_found' }],
		['/api/v1/plans/none', 404, { code: 'not_found', plan_id: 'none' }],
		['/api/v1/plans/a%2Fb', 400, { code: 'bad_request', path: 'plan_id' }],
		['/api/v1/plans/a%0Ab', 400, { code: 'bad_request', path: 'plan_id' }],
		['/api/v1/plans/%zz', 400, { code: 'bad_request', path: 'plan_id' }],
		['/api/v1/plans/a/b/c', 404, { code: 'not_found' }],
		['/api/v1/plans?limit=many', 400, { code: 'bad_request', path: 'limit' }],
		['/api/v1/plans?limit=1&limit=2', 400, { code: 'bad_request', path: 'limit' }],
		['/api/v1/plans?status=done', 400, { code: 'bad_request', path: 'status[0]' }],
		['/api/v1/plans?label=team', 400, { code: 'bad_request', path: 'label[0]' }],
		['/api/v1/plans?label=a=1&label=a=2', 400, { code: 'bad_request', path: 'label' }],
		['/api/v1/plans?__proto__=1', 400, { code: 'bad_request', path: '__proto__' }],
		['/api/v1/agents?all=true', 400, { code: 'bad_request', path: 'all', allowed: [] }],
	])('%s is answered by a problem', async (address, status, facts) => {
		await expectProblem(await sendRequest(server, address), status, facts)
	})

	it('lists its parameters when one is unknown', async () => {
		const answer = await sendRequest(server, '/api/v1/plans?state=running')
		const allowed = ['status', 'label', 'query', 'created_after', 'created_before', 'limit', 'page']
		await expectProblem(answer, 400, { code: 'bad_request', path: 'state', allowed })
	})

	it('explains the format of a time when one is invalid', async () => {
		const answer = await sendRequest(server, '/api/v1/plans?created_after=soon')
		const detail = 'created_after must be an ISO 8601 time with a zone, such as 2026-01-31T12:00:00Z.'
		await expectProblem(answer, 400, { code: 'bad_request', path: 'created_after', detail })
	})

	it.each(['user@localhost', 'localhost:port'])('is answered by a problem when it is requested at the host %s', async (host) => {
		await expectProblem(await sendRequest(server, '/', { headers: { host } }), 400, { code: 'bad_request' })
	})

	it('lists its methods when one is wrong', async () => {
		const allowed = ['GET', 'POST', 'HEAD', 'OPTIONS']
		for (const method of ['PUT', 'DELETE', 'PATCH']) {
			const answer = await sendRequest(server, EVENTS, { method })
			await expectProblem(answer, 405, { code: 'method_not_allowed', allowed })
			expect(answer.headers.allow).toBe('GET, POST, HEAD, OPTIONS')
		}
	})
})

describe('a published event', () => {
	const ok = { event_type: 'step_progress', step_id: 'a', data: { progress: 0.5 } }
	it.each<[string, unknown[], number, Partial<Problem>]>([
		[
			'of an unknown type',
			[ok, { ...ok, event_type: 'step_exploded' }],
			422,
			{ code: 'invalid_event', path: 'events.1.event_type' },
		],
		['of a live type', [{ event_type: 'ping', data: {} }], 422, { code: 'invalid_event', path: 'events.0.event_type' }],
		[
			'with data that does not fit',
			[ok, { ...ok, data: { progress: 2 } }],
			422,
			{ code: 'invalid_event', path: 'events.1.data.progress' },
		],
		['without its step', [{ ...ok, step_id: undefined }], 422, { code: 'invalid_event', path: 'events.0.step_id' }],
		['with an actor of its own', [{ ...ok, actor: { type: 'user', id: 'x' } }], 422, { code: 'invalid_event', path: 'events.0' }],
		['with an id of the server', [{ ...ok, event_id: 'cmd.1' }], 422, { code: 'invalid_event', path: 'events.0.event_id' }],
		['with a line break in its id', [{ ...ok, event_id: 'a\nb' }], 422, { code: 'invalid_event', path: 'events.0.event_id' }],
		['for another plan', [{ ...ok, plan_id: 'other' }], 422, { code: 'invalid_event', path: 'events.0.plan_id' }],
		['with no time', [{ ...ok, timestamp: 'yesterday' }], 422, { code: 'invalid_event', path: 'events.0.timestamp' }],
		[
			'twice in one batch',
			[
				{ ...ok, event_id: 'e' },
				{ ...ok, event_id: 'e' },
			],
			422,
			{ code: 'invalid_event', path: 'events.1.event_id' },
		],
		['that is none', ['event'], 422, { code: 'invalid_event', path: 'events.0' }],
		['in an empty batch', [], 400, { code: 'bad_request', path: 'events' }],
		['in too large a batch', Array.from({ length: 257 }, () => ok), 400, { code: 'bad_request', path: 'events' }],
		[
			'that is too large',
			[{ ...ok, data: { progress: 0.5, message: 'x'.repeat(70_000) } }],
			413,
			{ code: 'too_large', limit: 65_536 },
		],
	])('%s is refused, and so is its batch', async (_what, events, status, facts) => {
		await expectProblem(await post(server, EVENTS, { events }), status, facts)
		await expectProblem(await sendRequest(server, '/api/v1/plans/external_1'), 404, { code: 'not_found' })
	})

	it('is refused when it names another plan in its body than in its address', async () => {
		const answer = await post(server, EVENTS, { plan_id: 'other', events: [ok] })
		await expectProblem(answer, 400, { code: 'bad_request', path: 'plan_id' })
	})
})

describe('tRPC', () => {
	const trpc = (path: string, question?: RequestOptions) => sendRequest(server, `/trpc/${path}`, question)
	it.each<[string, string, RequestOptions, number, string, Partial<Problem>]>([
		['an unknown procedure', 'plans.nope', {}, 404, 'NOT_FOUND', { code: 'not_found', procedure: 'plans.nope' }],
		[
			'a method that does not fit',
			'plans.create',
			{},
			405,
			'METHOD_NOT_SUPPORTED',
			{ code: 'method_not_allowed', allowed: ['POST'] },
		],
		['input that is not JSON', 'plans.get?input=%7B', {}, 400, 'BAD_REQUEST', { code: 'bad_request' }],
		[
			'input that does not fit',
			'plans.get?input={"plan_id":"a/b"}',
			{},
			400,
			'BAD_REQUEST',
			{ code: 'bad_request', path: 'plan_id' },
		],
		['a plan there is not', 'plans.get?input={"plan_id":"none"}', {}, 404, 'NOT_FOUND', { code: 'not_found', plan_id: 'none' }],
		['a body that is no JSON', 'plans.create', { method: 'POST', body: 'x' }, 400, 'BAD_REQUEST', { code: 'bad_request' }],
		[
			'a forbidden key',
			'plans.create',
			{ method: 'POST', body: '{"query":"q","steps":[],"input":{"__proto__":1}}' },
			400,
			'BAD_REQUEST',
			{ code: 'bad_request', path: 'input.__proto__' },
		],
		[
			'an event that does not fit',
			'events.publish',
			{ method: 'POST', body: { plan_id: 'external_1', events: [{ event_type: 'plan_failed', data: {} }] } },
			422,
			'UNPROCESSABLE_CONTENT',
			{ code: 'invalid_event', path: 'events.0.data.error' },
		],
	])('answers %s with the same problem, in its own envelope', async (_what, path, question, status, code, problem) => {
		const headers = { 'content-type': 'application/json' }
		const answer = await trpc(path, { headers, ...question })
		expect(answer).toMatchObject({
			status,
			body: { error: { data: { code, httpStatus: status, problem: { ...problem, status } } } },
		})
		const { error } = answer.body as { error: { message: string; data: { problem: Problem } } }
		expect(error.message).toBe(error.data.problem.detail)
		expect(answer.text).not.toMatch(/stack|zod|invalid_type/i)
	})
})
