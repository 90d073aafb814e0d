import { PlanstreamError } from '@planstream/shared'
import { afterEach, expect, it, vi } from 'vitest'
import { ROUTES } from '../../../server/src/api/rest.js'
import { MemoryLog } from '../../../server/src/log/memory.js'
import { createLogger } from '../../../server/src/ops/logger.js'
import { getProblem, post, sendRequest } from '../../support/http-request.js'
import { startTestServer } from '../../support/servers/test-server.js'
import { connectPlainSocket, TrpcSocketClient } from '../../support/streams/socket-client.js'

const DIRECTORY = '/srv/secret-data'

afterEach(() => void vi.restoreAllMocks())

/** Has the store fail as SQLite does in a directory. */
function failStore(code: 'storage_full' | 'storage_unavailable'): void {
	const failure = () =>
		Promise.reject(new PlanstreamError(code, `The database in ${DIRECTORY} failed (disk I/O error).`, { directory: DIRECTORY }))
	for (const method of ['append', 'read', 'list', 'head'] as const)
		vi.spyOn(MemoryLog.prototype, method).mockImplementation(failure)
}

it.each(['storage_full', 'storage_unavailable'] as const)(
	'answers %s without a path on any transport, and logs the path with the id of the request',
	async (code) => {
		const logged: (readonly [object, string])[] = []
		const error = (...told: [object, string]): void => void logged.push(told)
		await using server = await startTestServer({ logger: Object.assign(createLogger('silent'), { error }) })
		failStore(code)
		const event = { events: [{ event_type: 'plan_completed', data: {} }] }
		const input = encodeURIComponent('{"plan_id":"p"}')
		const answers = [
			await post(server, '/api/v1/streaming/plans/p/events', event),
			await sendRequest(server, '/api/v1/streaming/plans/p/history'),
			await sendRequest(server, '/api/v1/streaming/plans/p/events'),
			await sendRequest(server, '/api/v1/plans'),
			await sendRequest(server, `/trpc/plans.get?input=${input}`),
			await sendRequest(server, `/trpc/plans.events?input=${input}`),
			await sendRequest(server, '/health/ready'),
		]
		for (const { text } of answers) {
			expect(text).not.toContain(DIRECTORY)
			expect(text).toContain(code)
		}
		await using wire = await new TrpcSocketClient(server).open()
		wire.send({ id: 1, method: 'query', params: { path: 'plans.list', input: {} } })
		const called = JSON.stringify(await wire.next())
		wire.subscribe(2, 'p')
		const [failed] = (await wire.until(({ error }) => error !== undefined)).slice(-1)
		await using plain = await connectPlainSocket(server.url, 'me?plan_id=p')
		const [frame] = (await plain.until((message) => message.frame === 'problem')).slice(-1)
		const texts = [...answers.slice(0, -1).map(({ text }) => text), called, JSON.stringify(failed), JSON.stringify(frame)]
		const ids = logged.flatMap(([facts]) => ('request_id' in facts ? [facts.request_id] : []))
		for (const text of texts) {
			expect(text).not.toContain(DIRECTORY)
			expect(ids).toContain(/"request_id":"([^"]+)"/.exec(text)?.[1])
		}

		const [first] = answers
		expect(first && getProblem(first)).toMatchObject({ code, detail: expect.not.stringContaining('/') as string })
		const own = logged.filter(([facts]) => 'request_id' in facts && facts.request_id === first?.headers['x-request-id'])
		expect(own).toEqual([
			[
				{ err: expect.objectContaining({ facts: { directory: DIRECTORY } }) as unknown, request_id: expect.any(String) },
				expect.any(String),
			],
		])
	},
)

it('names the request in the log when it fails for an unforeseen reason', async () => {
	const logged: (readonly [object, string])[] = []
	const error = (...told: [object, string]): void => void logged.push(told)
	await using server = await startTestServer({ logger: Object.assign(createLogger('silent'), { error }) })
	vi.spyOn(MemoryLog.prototype, 'list').mockRejectedValue(new Error(`open '${DIRECTORY}/x'`))
	for (const path of ['/api/v1/plans', '/trpc/plans.list']) {
		const { status, text, headers } = await sendRequest(server, path)
		expect([status, text.includes(DIRECTORY)]).toEqual([500, false])
		expect(logged.at(-1)).toMatchObject([{ request_id: headers['x-request-id'] }, expect.any(String)])
	}
})

it.each(['storage_full', 'storage_unavailable', 'internal'] as const)(
	'shows no path and no stack on any route while the store fails with %s',
	async (code) => {
		await using server = await startTestServer()
		if (code !== 'internal') failStore(code)
		else {
			for (const method of ['append', 'read', 'list', 'head'] as const)
				vi.spyOn(MemoryLog.prototype, method).mockRejectedValue(new Error(`ENOENT: no such file, open '${DIRECTORY}/x'`))
		}
		const codes = new Set<unknown>()
		for (const [name, { kind, rest }] of ROUTES) {
			const path = rest.path.replaceAll(/\{\w+\}/g, 'x1')
			const isPost = rest.method === 'POST'
			const asked =
				kind === 'subscription' ? [] : [await sendRequest(server, `/trpc/${name}`, { method: isPost ? 'POST' : 'GET' })]
			if (!path.endsWith('/changes'))
				asked.push(await sendRequest(server, path, { method: rest.method, ...(isPost && { body: {} }) }))
			for (const answer of asked) {
				codes.add(getProblem(answer)?.code)
				expect([name, answer.text]).toEqual([name, expect.not.stringMatching(/srv|ENOENT|node_modules|\bat \S+ \(|file:/)])
			}
		}
		expect(codes).toContain(code)
	},
)
