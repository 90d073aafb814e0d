import { createHash } from 'node:crypto'
import { readdirSync, rmSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { createLogger } from '../../../server/src/ops/logger.js'
import type { RunningServer } from '../../../server/src/server.js'
import { startServer } from '../../../server/src/server.js'
import { createTemporaryDirectory } from '../../support/cli-process.js'
import { post, sendRequest } from '../../support/http-request.js'
import { bearer, startKeyedServer } from '../../support/servers/keyed-server.js'
import { startTestServer } from '../../support/servers/test-server.js'

const TEXT = '<script>alert("no page")</script> é'
const ID = createHash('sha256').update(TEXT).digest('hex')
const NAME = 'a "näme".html\n'

async function makeArtifact(server: RunningServer, plan_id: string, step: object = {}, media_type = 'text/html'): Promise<void> {
	const input = { updates: [{ artifact: { name: NAME, text: TEXT, media_type } }], result: {}, quality_score: 0.7 }
	const steps = [{ step_id: 'one', action: 'write', agent_type: 'scripted', input, ...step }]
	expect((await post(server, '/api/v1/plans', { plan_id, query: 'q', steps })).status).toBe(201)
}

const ended = async (server: RunningServer, plan_id: string) =>
	(await sendRequest(server, `/api/v1/streaming/plans/${plan_id}/events`)).text
const url = (plan_id: string, id = ID) => `/api/v1/plans/${plan_id}/artifacts/${id}`

describe('the artifacts of a plan', () => {
	it('are downloads with their media type, never pages', async () => {
		await using server = await startTestServer()
		await makeArtifact(server, 'p', {}, 'text/markdown; charset=utf-8')
		await ended(server, 'p')
		const answer = await sendRequest(server, url('p'))
		expect(answer).toMatchObject({ status: 200, text: TEXT })
		expect(answer.headers).toMatchObject({
			'content-type': 'text/markdown; charset=utf-8',
			'content-length': String(Buffer.byteLength(TEXT)),
			'x-content-type-options': 'nosniff',
			'content-disposition': "attachment; filename*=UTF-8''a%20%22n%C3%A4me%22.html%0A",
			etag: `"${ID}"`,
		})
		const head = await sendRequest(server, url('p'), { method: 'HEAD' })
		expect(head).toMatchObject({
			status: 200,
			text: '',
			headers: { etag: `"${ID}"`, 'content-length': answer.headers['content-length'] },
		})
		const known = await sendRequest(server, url('p'), { headers: { 'if-none-match': `"${ID}"` } })
		expect(known).toMatchObject({ status: 304, text: '' })
	})

	it.each([
		['*', 304],
		[`W/"${ID}"`, 304],
		[`"other", W/"${ID}"`, 304],
		['"other"', 200],
		[ID, 200],
	])('answer If-None-Match: %s with %i', async (header, status) => {
		await using server = await startTestServer()
		await makeArtifact(server, 'p')
		await ended(server, 'p')
		expect((await sendRequest(server, url('p'), { headers: { 'if-none-match': header } })).status).toBe(status)
		expect((await sendRequest(server, url('none'), { headers: { 'if-none-match': header } })).status).toBe(404)
	})

	it('are plain bytes when the agent gave a media type that no header can hold', async () => {
		await using server = await startTestServer()
		await makeArtifact(server, 'p', {}, 'text/html\r\nset-cookie: a=b')
		await ended(server, 'p')
		const { status, headers } = await sendRequest(server, url('p'))
		expect(status).toBe(200)
		expect(headers).toMatchObject({ 'content-type': 'application/octet-stream' })
		expect(headers).not.toHaveProperty('set-cookie')
	})

	it('are readable while they wait for a review, and after their step ran again without them', async () => {
		await using server = await startTestServer()
		await makeArtifact(server, 'p', { quality: { min_score: 0.5, approve_score: 0.9, on_reject: 'fail' } })
		for await (const item of server.hub.subscribe(
			{ tenant: 'default', actor: { type: 'user', id: 'x' }, scopes: new Set() },
			'p',
			{
				after: 'start',
				snapshot: false,
				follow: 'until_done',
				signal: AbortSignal.timeout(5000),
			},
		)) {
			if (item.kind === 'event' && item.stored.text.includes('"review_required"')) break
		}
		expect((await sendRequest(server, url('p'))).text).toBe(TEXT)
		await post(server, '/api/v1/plans/p/reviews/one.1', { decision: 'reject' })
		expect((await sendRequest(server, url('p'))).text).toBe(TEXT)
	})

	it.each([
		['another plan', 'other', ID],
		['an unknown plan', 'unknown', ID],
		['an id it does not have', 'p', 'f'.repeat(64)],
		['a name every object has', 'p', 'constructor'],
		['a path', 'p', '..%2f..%2fplans.db'],
	])('are not found under %s', async (_what, plan_id, id) => {
		await using server = await startTestServer()
		await makeArtifact(server, 'p')
		await ended(server, 'p')
		await post(server, '/api/v1/plans', {
			plan_id: 'other',
			query: 'q',
			steps: [{ step_id: 'one', action: 'x', agent_type: 'scripted' }],
		})
		const answer = await sendRequest(server, url(plan_id, id))
		expect(answer).toMatchObject({ status: 404, body: { code: 'not_found' } })
		expect(await sendRequest(server, url('p'), { method: 'DELETE' })).toMatchObject({
			status: 405,
			headers: { allow: 'GET, HEAD, OPTIONS' },
		})
	})

	it('are not given to an external plan that only names one', async () => {
		await using server = await startTestServer()
		await makeArtifact(server, 'p')
		await ended(server, 'p')
		const data = { artifacts: [{ artifact_id: ID, name: 'x', media_type: 'text/plain', bytes: 1 }] }
		const events = [{ event_type: 'step_completed', step_id: 'one', data }]
		expect((await post(server, '/api/v1/streaming/plans/thief/events', { events })).status).toBe(200)
		expect((await sendRequest(server, url('thief'))).status).toBe(404)
	})

	it('are not found when their file is gone', async () => {
		using directory = createTemporaryDirectory()
		const store = { kind: 'sqlite', directory: directory.path } as const
		await using server = await startServer({ store, port: 0, scripted: true, logger: createLogger('silent') })
		await makeArtifact(server, 'p')
		await ended(server, 'p')
		const folder = path.join(directory.path, 'artifacts')
		expect(readdirSync(folder)).toEqual(['default'])
		rmSync(folder, { recursive: true })
		expect((await sendRequest(server, url('p'))).status).toBe(404)
	})

	it('need a key that may read plans, and are not found with a key of another tenant', async () => {
		await using server = await startKeyedServer({
			maker: { tenant: 'acme', scopes: ['plans:read', 'plans:write'] },
			writer: { tenant: 'acme', scopes: ['plans:write'] },
			stranger: { tenant: 'other', scopes: ['plans:read'] },
		})
		const headers = bearer(server.keys.maker)
		const input = { updates: [{ artifact: { name: NAME, text: TEXT, media_type: 'text/plain' } }], result: {} }
		const steps = [{ step_id: 'one', action: 'write', agent_type: 'scripted', input }]
		await sendRequest(server, '/api/v1/plans', { method: 'POST', headers, body: { plan_id: 'p', query: 'q', steps } })
		await sendRequest(server, '/api/v1/streaming/plans/p/events', { headers })
		expect(await sendRequest(server, url('p'), { headers })).toMatchObject({ status: 200, text: TEXT })
		expect(await sendRequest(server, url('p'), { headers: bearer(server.keys.writer) })).toMatchObject({
			status: 403,
			body: { code: 'forbidden', scope: 'plans:read' },
		})
		expect((await sendRequest(server, url('p'), { headers: bearer(server.keys.stranger) })).status).toBe(404)
		expect((await sendRequest(server, url('p'))).status).toBe(401)
	})
})
