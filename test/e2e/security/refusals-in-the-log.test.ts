import { PlanstreamError } from '@planstream/shared'
import { describe, expect, it } from 'vitest'
import { createProblemLog } from '../../../server/src/embed/problem-log.js'
import { createLogger } from '../../../server/src/ops/logger.js'
import { getProblem, post, sendRequest } from '../../support/http-request.js'
import { bearer, startKeyedServer } from '../../support/servers/keyed-server.js'
import { startTestServer } from '../../support/servers/test-server.js'
import { SocketClient, TrpcSocketClient } from '../../support/streams/socket-client.js'

interface Line {
	readonly code: string
	readonly reason: string
	readonly request_id: string
	readonly message: string
	readonly left_out?: number
}

/** A logger that keeps its warnings. */
function recordWarnings() {
	const lines: Line[] = []
	const warn = (facts: Omit<Line, 'message'>, message: string): void => void lines.push({ ...facts, message })
	return { lines, logger: Object.assign(createLogger('silent'), { warn }) }
}

async function startRecorded() {
	const { lines, logger } = recordWarnings()
	const server = await startKeyedServer(
		{
			reader: { tenant: 'acme', scopes: ['plans:read'] },
			publisher: { tenant: 'acme', scopes: ['events:publish'] },
		},
		{ logger },
	)
	lines.length = 0
	return { server, lines }
}

const WRONG = 'psk_wrong_key_of_somebody'

describe('a refused request', () => {
	it.each([
		['without a key', '/api/v1/plans', {}, 'unauthorized', 'no API key'],
		['with a wrong key', '/api/v1/plans', bearer(WRONG), 'unauthorized', 'unknown'],
		['with a malformed key', '/api/v1/plans', { authorization: WRONG }, 'unauthorized', 'malformed'],
		['from a page of a foreign origin', '/api/v1/plans', { origin: 'https://evil.example' }, 'forbidden', 'https://evil.example'],
		['of tRPC without a key', '/trpc/plans.list', {}, 'unauthorized', 'no API key'],
	] as const)('%s leaves one line with its reason and the id that its answer has', async (_when, path, headers, code, reason) => {
		const { server, lines } = await startRecorded()
		await using _server = server
		const answer = await sendRequest(server, path, { headers })
		const request_id = answer.headers['x-request-id']
		expect(getProblem(answer)).toMatchObject({ code, request_id })
		expect(lines).toEqual([{ code, request_id, reason: expect.stringContaining(reason), message: `GET ${path} was refused.` }])
		expect(JSON.stringify(lines)).not.toContain(WRONG)
	})

	it.each([
		['a route', 'GET', '/metrics'],
		['a stream', 'GET', '/api/v1/streaming/plans/p/events'],
		['a command', 'POST', '/api/v1/plans'],
		['an import', 'POST', '/api/v1/admin/import'],
		['a query of tRPC', 'GET', '/trpc/plans.list'],
		['a mutation of tRPC', 'POST', '/trpc/plans.create'],
		['a batch of tRPC', 'POST', '/trpc/plans.create,plans.pause?batch=1'],
	])('without the scope of %s leaves a line that names the scope', async (_what, method, path) => {
		const { server, lines } = await startRecorded()
		await using _server = server
		const answer = await sendRequest(server, path, { method, headers: bearer(server.keys.publisher) })
		const { 'x-request-id': request_id } = answer.headers
		expect(lines.length).toBeGreaterThan(0)
		for (const line of lines)
			expect(line).toMatchObject({ code: 'forbidden', request_id, reason: expect.stringContaining('needs the scope') })
	})

	it('over a WebSocket leaves a line with the id that its problem has', async () => {
		const { server, lines } = await startRecorded()
		await using _server = server
		await using plain = await new SocketClient<Line>(`${server.url}/api/v1/streaming/ws/me`, { headers: bearer(WRONG) }).open()
		const refused = await plain.next()
		await using trpc = await new TrpcSocketClient(server, '/trpc', { headers: bearer(WRONG) }).open()
		const { error } = await trpc.next()
		await using narrow = await new TrpcSocketClient(server, '/trpc', { headers: bearer(server.keys.publisher) }).open()
		narrow.send({ id: 1, method: 'query', params: { path: 'plans.list', input: {} } })
		const { error: forbidden } = await narrow.next()
		const ids = [refused, error?.data.problem, forbidden?.data.problem].map(
			(problem) => (problem as Partial<Line> | undefined)?.request_id,
		)
		expect(lines.map(({ request_id }) => request_id)).toEqual(ids)
		expect(lines.map(({ code }) => code)).toEqual(['unauthorized', 'unauthorized', 'forbidden'])
	})

	it('of a server without keys leaves a line, too', async () => {
		const { lines, logger } = recordWarnings()
		await using server = await startTestServer({ logger })
		lines.length = 0
		const { headers } = await post({ url: server.url }, '/api/v1/plans', {})
		await sendRequest(server, '/', { headers: { host: 'evil.example' } })
		expect(headers['x-request-id']).toBeDefined()
		expect(lines).toMatchObject([{ code: 'forbidden', reason: expect.stringContaining('evil.example') }])
	})
})

describe('a server with keys', () => {
	it.each([
		['warns once of plain HTTP when it listens beyond its own machine', { host: '127.0.0.2' }, 1],
		['warns of nothing when it names the proxy before it', { host: '127.0.0.2', trustedProxies: ['192.0.2.1'] }, 0],
		['warns of nothing when it listens on its own machine', {}, 0],
	])('%s', async (_what, options, count) => {
		const warned: string[] = []
		const warn = (first: unknown): void => void warned.push(String(first))
		await using _server = await startKeyedServer(
			{ reader: { tenant: 'acme', scopes: ['plans:read'] } },
			{ logger: Object.assign(createLogger('silent'), { warn }), allowOldNode: true, ...options },
		)
		expect(warned.filter((text) => text.includes('plain HTTP'))).toHaveLength(count)
	})
})

describe('the log of refusals', () => {
	it('has 50 lines at once and 5 a second, each after a gap with the count of those left out', () => {
		const { lines, logger } = recordWarnings()
		let now = 0
		const log = createProblemLog(logger, () => now)
		const refuse = (times: number): void => {
			for (let index = 0; index < times; index++)
				log('A request was refused.', new PlanstreamError('unauthorized', `${index}`.padEnd(1000)), { request_id: 'r' })
		}
		refuse(1000)
		expect([lines.length, lines.at(-1)?.left_out, lines.at(-1)?.reason.length]).toEqual([50, undefined, 300])
		now = 1000
		refuse(1000)
		expect([lines.length, lines.at(50)?.left_out, lines.at(51)?.left_out]).toEqual([55, 950, undefined])
		now = 2000
		refuse(1)
		expect(lines.at(-1)?.left_out).toBe(995)
	})
})
