import { createTRPCClient, createWSClient, httpSubscriptionLink, type TRPCLink, wsLink } from '@trpc/client'
import { EventSource } from 'eventsource'
import { expect, test } from 'vitest'
import type { AppRouter } from '../../../server/src/api/router.js'
import { StreamServer } from '../../support/servers/stream-server.js'
import { connectPlainSocket, SocketClient } from '../../support/streams/socket-client.js'
import { NodeWebSocket, sseUrl } from '../../support/streams/stream-readers.js'

const STARTED = { event_type: 'plan_started', data: { query: 'Which?', total_steps: 1 } }

async function get(server: StreamServer, path: string): Promise<unknown> {
	return (await fetch(`${server.url}/api/v1/streaming/${path}`)).json()
}

test('a new server has no clients', async () => {
	await using server = await StreamServer.start()
	expect(await get(server, 'clients')).toEqual({ client_count: 0, clients: [], connections: [] })
	expect(await get(server, 'plans/p/subscribers')).toEqual({ plan_id: 'p', subscriber_count: 0 })
})

test('a client with two connections counts as one client, and each subscription counts', async () => {
	await using server = await StreamServer.start()
	await server.publish('p', [STARTED])
	await using first = await connectPlainSocket(server.url, 'a?plan_id=p&plan_id=q')
	await using _second = await connectPlainSocket(server.url, 'a?plan_id=p')
	await using _third = await connectPlainSocket(server.url, 'b')
	await first.until(({ seq }) => seq === 1)
	await server.until(() => server.watchers, 3)
	const connection = { transport: 'websocket', lagging: false }
	expect(await get(server, 'clients')).toEqual({
		client_count: 2,
		clients: ['a', 'b'],
		connections: [
			{ ...connection, client_id: 'a', subscribed_plans: ['p', 'q'], delivered: 1 },
			{ ...connection, client_id: 'a', subscribed_plans: ['p'], delivered: 1 },
			{ ...connection, client_id: 'b', subscribed_plans: [], delivered: 0 },
		].map((facts) => ({
			...facts,
			connection_id: expect.stringMatching(/^[0-9a-f-]{36}$/),
			connected_at: expect.stringMatching(/Z$/),
			last_seen_at: expect.stringMatching(/Z$/),
		})),
	})
	expect(await get(server, 'plans/p/subscribers')).toEqual({ plan_id: 'p', subscriber_count: 2 })
	expect(await get(server, 'plans/q/subscribers')).toEqual({ plan_id: 'q', subscriber_count: 1 })
	await first[Symbol.asyncDispose]()
	await server.until(() => server.report().length, 2)
	expect(await get(server, 'plans/p/subscribers')).toEqual({ plan_id: 'p', subscriber_count: 1 })
})

test('every transport has a client id: the given one, or one of its own', async () => {
	await using server = await StreamServer.start()
	const url = `${server.url.replace('http', 'ws')}/trpc`
	const named = createWSClient({ url: `${url}?client_id=by-query`, WebSocket: NodeWebSocket })
	const given = createWSClient({ url, WebSocket: NodeWebSocket, connectionParams: { client_id: 'by-params' } })
	const links: TRPCLink<AppRouter>[] = [
		wsLink({ client: named }),
		wsLink({ client: given }),
		httpSubscriptionLink({ url: `${server.url}/trpc?client_id=sse-query`, EventSource }),
		httpSubscriptionLink({ url: `${server.url}/trpc`, EventSource, connectionParams: { client_id: 'sse-params' } }),
	]
	const clients = links.map((link) => createTRPCClient<AppRouter>({ links: [link] }))
	const subscriptions = clients.map((client) => client.plans.events.subscribe({ plan_id: 'p' }, { onData: () => undefined }))
	const sources = [{}, { client_id: 'plain' }].map((query) => new EventSource(sseUrl(server.url, { plan_id: 'p', ...query })))
	await server.until(() => server.watchers, 6)
	const report = server.report()
	const own = report.filter(({ client_id, connection_id }) => client_id === connection_id)
	expect(own.map(({ transport }) => transport)).toEqual(['sse'])
	const others = report
		.filter((connection) => !own.includes(connection))
		.map(({ transport, client_id }) => `${transport} ${client_id}`)
	expect(others.sort()).toEqual([
		'sse plain',
		'trpc-sse sse-params',
		'trpc-sse sse-query',
		'trpc-websocket by-params',
		'trpc-websocket by-query',
	])
	for (const subscription of subscriptions) subscription.unsubscribe()
	for (const source of sources) source.close()
	await Promise.all([named.close(), given.close()])
	await server.quiet()
})

test.each(['tRPC over SSE', 'plain SSE'])(
	'over %s delivered counts the events, and last_seen_at follows a client that reads',
	async (name) => {
		await using server = await StreamServer.start({ limits: { heartbeatMs: 5 } })
		const input = encodeURIComponent(JSON.stringify({ plan_id: 'p' }))
		const url = name === 'plain SSE' ? sseUrl(server.url, { plan_id: 'p' }) : `${server.url}/trpc/plans.events?input=${input}`
		const left = new AbortController()
		await fetch(url, { signal: left.signal })
		await server.until(() => server.report().length, 1)
		const seen = () => Date.parse(server.report()[0]?.last_seen_at ?? '')
		const before = seen()
		for (let sent = 0; seen() === before; sent++) {
			await server.publish('p', [{ event_type: 'error', data: { code: 'e', message: `${sent}` } }])
			await server.until(() => server.report()[0]?.delivered, sent + 1)
		}
		left.abort()
		await server.quiet()
	},
)

test('a connection is listed for its own tenant only', async () => {
	await using server = await StreamServer.start()
	await using _client = await connectPlainSocket(server.url, 'a?plan_id=p')
	expect(server.connections.report('other')).toEqual([])
	expect(server.connections.countSubscribers('other', 'p')).toBe(0)
	expect(server.connections.countSubscribers('default', 'p')).toBe(1)
})

test('an invalid client id is refused by its name', async () => {
	await using server = await StreamServer.start()
	const answer = await fetch(sseUrl(server.url, { plan_id: 'p', ...{ client_id: 'a b' } }))
	expect(await answer.json()).toMatchObject({ status: 400, code: 'bad_request', path: 'client_id' })
	await using client = new SocketClient(`${server.url}/trpc?client_id=a%20b`)
	expect(await client.closed).toBe(1006)
	expect(server.connections.size).toBe(0)
})
