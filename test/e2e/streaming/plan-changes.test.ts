import { type ChangesOutput, createPlanstreamClient } from '@planstream/client'
import { expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { StreamServer } from '../../support/servers/stream-server.js'
import { TrpcSocketClient } from '../../support/streams/socket-client.js'

const STARTED = { event_type: 'plan_started', data: { query: 'Which?', total_steps: 1 } }
const COMPLETED = { event_type: 'plan_completed', data: {} }

function view({ reset, plans, removed }: ChangesOutput): unknown {
	return { reset, plans: plans.map(({ plan_id, status }) => `${plan_id} ${status}`), removed }
}

test.each(['websocket', 'sse'] as const)(
	'the SDK receives the page, then changes, and a new page after a cut, by %s',
	async (transport) => {
		await using server = await StreamServer.start()
		await server.publish('p', [STARTED])
		await using planstream = createPlanstreamClient({ url: server.url, transport, WebSocket, backoff: { initialMs: 0 } })
		const changes = planstream.plans.changes()
		const next = async () => view((await changes.next()).value ?? expect.fail('the list has ended'))
		expect(await next()).toEqual({ reset: true, plans: ['p running'], removed: [] })
		await server.publish('q', [STARTED])
		expect(await next()).toEqual({ reset: false, plans: ['q running'], removed: [] })
		await server.publish('p', [COMPLETED])
		expect(await next()).toEqual({ reset: false, plans: ['p completed'], removed: [] })
		await server.hub.remove({ tenant: 'default', plan_id: 'p' })
		expect(await next()).toEqual({ reset: false, plans: [], removed: ['p'] })
		expect(server.report()).toMatchObject([{ subscribed_plans: [], delivered: 0 }])
		for (const socket of server.sockets) socket.resetAndDestroy()
		expect(await next()).toEqual({ reset: true, plans: ['q running'], removed: [] })
		await changes.return()
		await server.quiet()
	},
)

test('the list shows what its filters match, and drops what no longer matches', async () => {
	await using server = await StreamServer.start()
	await server.publish('p', [STARTED])
	await server.publish('q', [STARTED, COMPLETED])
	await using planstream = createPlanstreamClient({ url: server.url, transport: 'sse' })
	const changes = planstream.plans.changes({ status: ['running', 'failed'], limit: 5 })
	const next = async () => view((await changes.next()).value ?? expect.fail('the list has ended'))
	expect(await next()).toEqual({ reset: true, plans: ['p running'], removed: [] })
	await server.publish('p', [COMPLETED])
	expect(await next()).toEqual({ reset: false, plans: [], removed: ['p'] })
})

test('plain SSE sends one message an item, without ids, and ends when the server stops', async () => {
	await using server = await StreamServer.start({ limits: { heartbeatMs: 5 } })
	const answer = await fetch(`${server.url}/api/v1/streaming/plans/changes?status=running&client_id=me`)
	expect(answer.headers.get('content-type')).toBe('text/event-stream; charset=utf-8')
	await server.until(() => server.watchers, 1)
	expect(server.report()).toMatchObject([{ client_id: 'me', transport: 'sse' }])
	server.drain()
	const body = await answer.text()
	expect(body).toMatch(/^: planstream\nretry: \d+\n\ndata: \{"reset":true,"plans":\[\],"removed":\[\]\}\n\n(: heartbeat\n\n)*$/)
	await server.quiet()
})

test('the list over tRPC is cut when the server stops, so that the stock client asks for it again', async () => {
	await using server = await StreamServer.start()
	await using wire = await new TrpcSocketClient(server).open()
	wire.send({ id: 1, method: 'subscription', params: { path: 'plans.changes' } })
	expect((await wire.next()).result?.type).toBe('started')
	expect(await wire.next()).toMatchObject({ id: 1, result: { type: 'data', data: { reset: true } } })
	server.drain()
	expect(await wire.closed).toBe(1012)
	expect(wire.arrived).toEqual([])
	await server.quiet()
})

test.each([
	['status=nonsense', 'status[0]'],
	['label=nonsense', 'label[0]'],
	['label=a%3D1&label=a%3D2', 'label'],
	['page=1', 'page'],
	['client_id=a%20b', 'client_id'],
])('%s is refused before the stream', async (query, path) => {
	await using server = await StreamServer.start()
	const answer = await fetch(`${server.url}/api/v1/streaming/plans/changes?${query}`)
	expect(await answer.json()).toMatchObject({ status: 400, code: 'bad_request', path })
	await server.quiet()
})
