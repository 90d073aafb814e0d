import { once } from 'node:events'
import { request } from 'node:http'
import { connect } from 'node:net'
import { json } from 'node:stream/consumers'
import { createTRPCClient, createWSClient, httpBatchLink, wsLink } from '@trpc/client'
import { expect, test } from 'vitest'
import type { AppRouter } from '../../../server/src/api/router.js'
import { StreamServer, trackMaximum } from '../../support/servers/stream-server.js'
import { type TrpcMessage, TrpcSocketClient } from '../../support/streams/socket-client.js'
import { NodeWebSocket } from '../../support/streams/stream-readers.js'

const STARTED = { event_type: 'plan_started', data: { query: 'Which?', total_steps: 1 } }

/** What an upgrade is answered that is refused. */
function refusal(server: StreamServer, path: string, headers: Record<string, string> = {}) {
	return new Promise<{ status: number | undefined; type: string | undefined; body: Record<string, unknown> }>(
		(resolve, reject) => {
			const upgrade = {
				connection: 'Upgrade',
				upgrade: 'websocket',
				'sec-websocket-version': '13',
				'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==',
			}
			const asked = request(`${server.url}${path}`, { headers: { ...upgrade, ...headers } }, (response) => {
				const {
					statusCode: status,
					headers: { 'content-type': type },
				} = response
				json(response).then((body) => resolve({ status, type, body: body as Record<string, unknown> }), reject)
			})
			asked.on('error', reject).end()
		},
	)
}

test('queries and mutations work over the WebSocket, and over HTTP in batches', async () => {
	await using server = await StreamServer.start()
	const client = createWSClient({ url: `${server.url.replace('http', 'ws')}/trpc`, WebSocket: NodeWebSocket })
	const overSocket = createTRPCClient<AppRouter>({ links: [wsLink({ client })] })
	const events = [{ event_type: 'plan_started' as const, data: { query: 'Which?', total_steps: 1 } }]
	const published = await overSocket.events.publish.mutate({ plan_id: 'p', events })
	const overHttp = createTRPCClient<AppRouter>({ links: [httpBatchLink({ url: `${server.url}/trpc` })] })
	const [state, list] = await Promise.all([overHttp.plans.get.query({ plan_id: 'p' }), overHttp.plans.list.query({})])
	expect(state).toMatchObject({ plan_id: 'p', cursor: published.cursor, status: 'running' })
	expect(list.plans.map(({ plan_id }) => plan_id)).toEqual(['p'])
	await client.close()
	await server.quiet()
})

test('a frame of a megabyte is accepted, and a larger one closes with 1009', async () => {
	await using server = await StreamServer.start()
	await using wire = await new TrpcSocketClient(server).open()
	const call = (size: number) =>
		JSON.stringify({ id: 1, method: 'query', params: { path: 'plans.get', input: { plan_id: 'x'.repeat(size) } } })
	wire.socket.send(call(1024 * 1024 - 100))
	expect((await wire.next()).error?.data.problem.code).toBe('bad_request')
	wire.socket.send(call(1024 * 1024))
	expect(await wire.closed).toBe(1009)
	await server.quiet()
})

test.each([
	['text that is not JSON', 'nonsense'],
	['JSON that is no request', '[1, null, {}]'],
	['bytes', Buffer.from([0xff, 0x00, 0x80])],
	['a method nobody knows', JSON.stringify({ id: 1, method: 'steal', params: { path: 'plans.get' } })],
	['a procedure nobody knows', JSON.stringify({ id: 1, method: 'query', params: { path: 'plans.steal' } })],
	[
		'a subscription to what is none',
		JSON.stringify({ id: 1, method: 'subscription', params: { path: 'plans.list', input: {} } }),
	],
	['a subscription to no plan', JSON.stringify({ id: 1, method: 'subscription', params: { path: 'plans.events' } })],
])('%s is answered by a typed error, and the connection stays', async (_name, frame) => {
	await using server = await StreamServer.start()
	await using wire = await new TrpcSocketClient(server).open()
	wire.socket.send(frame)
	const { error } = await wire.next()
	expect(['bad_request', 'not_found']).toContain(error?.data.problem.code)
	expect(error?.data.problem.detail).toMatch(/\.$/)
	wire.socket.send(JSON.stringify({ id: 2, method: 'query', params: { path: 'agents.list', input: {} } }))
	expect(await wire.next()).toMatchObject({ id: 2, result: { data: { agents: [] } } })
	await wire[Symbol.asyncDispose]()
	await server.quiet()
})

test('frames that break the WebSocket protocol, and resets at any time, disturb no other client', async () => {
	await using server = await StreamServer.start()
	await server.publish('p', [STARTED])
	await using witness = await new TrpcSocketClient(server).open()
	witness.subscribe(1, 'p')
	for (const [bytes] of [[Buffer.from([0xff, 0xff, 0xff])], [Buffer.from([0x81, 0x05])], [Buffer.alloc(0)]] as const) {
		await using wire = await new TrpcSocketClient(server).open()
		wire.subscribe(1, 'p')
		await wire.next()
		const raw = Reflect.get(wire.socket, '_socket') as ReturnType<typeof connect>
		raw.write(bytes)
		raw.resetAndDestroy()
		await wire.closed
	}
	await server.until(() => server.report().length, 1)
	await server.publish('p', [{ event_type: 'plan_completed', data: {} }])
	const types: unknown[] = []
	for (let answer = await witness.next(); ; answer = await witness.next()) {
		types.push(answer.result?.type)
		if (answer.result?.type === 'stopped') break
	}
	expect(types).toEqual(['started', 'data', 'data', 'data', 'data', 'stopped'])
	await witness[Symbol.asyncDispose]()
	await server.quiet()
})

test('an invalid upgrade gets an HTTP answer: address, origin, host, handshake', async () => {
	await using server = await StreamServer.start()
	const type = 'application/problem+json'
	expect(await refusal(server, '/nowhere?x=1')).toMatchObject({
		status: 404,
		type,
		body: { code: 'not_found', allowed: ['/trpc', '/api/v1/streaming/ws/{client_id}'] },
	})
	expect(await refusal(server, '/constructor')).toMatchObject({ status: 404, type })
	expect(await refusal(server, '/trpc', { origin: 'https://example.com' })).toMatchObject({
		status: 403,
		type,
		body: { code: 'forbidden' },
	})
	expect(await refusal(server, '/trpc', { host: 'example.com' })).toMatchObject({ status: 403, type })
	expect(await refusal(server, '/trpc', { 'sec-websocket-key': 'short' })).toMatchObject({
		status: 400,
		type,
		body: { code: 'bad_request' },
	})
	await server.quiet()
	await server.until(() => server.sockets.size, 0)
})

test('sockets that vanish before, during and after the upgrade leave nothing behind', async () => {
	await using server = await StreamServer.start()
	const head = 'GET /trpc HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n'
	const rest = 'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n'
	for (const sent of [head, head + rest, `GET /nowhere HTTP/1.1\r\n${head.split('\r\n').slice(1).join('\r\n')}${rest}`]) {
		const socket = connect(server.port, '127.0.0.1')
		socket.on('error', () => undefined)
		await once(socket, 'connect')
		socket.write(sent, () => socket.resetAndDestroy())
		await once(socket, 'close')
	}
	await server.until(() => server.sockets.size, 0)
	await server.quiet()
})

test('a connection beyond the limit is refused with 503, whatever its transport, until one leaves', async () => {
	await using server = await StreamServer.start({ maxConnections: 2 })
	await using first = await new TrpcSocketClient(server).open()
	await using _second = await new TrpcSocketClient(server).open()
	expect(await refusal(server, '/trpc')).toMatchObject({ status: 503, body: { code: 'too_many_connections', limit: 2 } })
	await first[Symbol.asyncDispose]()
	await server.until(() => server.report().length, 1)
	await using _third = await new TrpcSocketClient(server).open()
	expect(server.report().map(({ transport }) => transport)).toEqual(['trpc-websocket', 'trpc-websocket'])
})

test('one connection carries a hundred subscriptions and refuses one more', async () => {
	await using server = await StreamServer.start()
	await using wire = await new TrpcSocketClient(server).open()
	for (let id = 1; id <= 101; id++) wire.subscribe(id, `plan_${id}`)
	let refused: TrpcMessage | null = null
	for (let ready = 0; refused === null || ready < 100; ) {
		const answer = await wire.next()
		if (answer.error !== undefined) refused = answer
		if (answer.result?.type === 'data') ready++
	}
	expect(refused).toMatchObject({ id: 101, error: { data: { problem: { code: 'bad_request', limit: 100 } } } })
	expect(server.report()[0]?.subscribed_plans).toHaveLength(100)
	await wire[Symbol.asyncDispose]()
	await server.quiet()
})

test('a stopping server ends each stream with end, closes the socket with 1012, and accepts no other', async () => {
	await using server = await StreamServer.start()
	await server.publish('p', [STARTED])
	await using wire = await new TrpcSocketClient(server).open()
	await using idle = await new TrpcSocketClient(server).open()
	wire.subscribe(1, 'p')
	wire.subscribe(2, 'q')
	for (let seen = 0; seen < 5; seen++) expect((await wire.next()).result?.type).toMatch(/^(started|data)$/)
	server.drain()
	expect(await Promise.all([wire.closed, idle.closed])).toEqual([1012, 1012])
	const end = { frame: 'end', reason: 'draining', resume: true }
	const ends = [1, 2].map((id) => ({ id, result: { type: 'data', data: { data: end } } }))
	expect(wire.arrived).toHaveLength(2)
	expect(wire.arrived).toMatchObject(ends)
	expect(await refusal(server, '/trpc')).toMatchObject({ status: 503, body: { code: 'draining' } })
	await server.connections.waitUntilEmpty()
	await server.quiet()
})

test('a client that announces credentials and does not send them is closed with 4401', async () => {
	await using server = await StreamServer.start({ limits: { credentialsTimeoutMs: 20 } })
	await using silent = await new TrpcSocketClient(server, '/trpc?connectionParams=1').open()
	await using pinging = await new TrpcSocketClient(server, '/trpc?connectionParams=1').open()
	pinging.socket.send('PONG')
	await using prompt = await new TrpcSocketClient(server, '/trpc?connectionParams=1').open()
	prompt.socket.send(JSON.stringify({ method: 'connectionParams', data: null }))
	expect(await Promise.all([silent.closed, pinging.closed])).toEqual([4401, 4401])
	prompt.socket.send(JSON.stringify({ id: 1, method: 'query', params: { path: 'agents.list', input: {} } }))
	expect(await prompt.next()).toMatchObject({ id: 1, result: { type: 'data' } })
})

test('a client that answers no ping is disconnected, and one that does stays', async () => {
	await using server = await StreamServer.start({ limits: { pingIntervalMs: 20, pongTimeoutMs: 40 } })
	await using deaf = await new TrpcSocketClient(server, '/trpc', { autoPong: false }).open()
	await using well = await new TrpcSocketClient(server).open()
	expect(await deaf.closed).toBe(1006)
	await once(well.socket, 'ping')
	await once(well.socket, 'ping')
	expect(server.report()).toHaveLength(1)
})

test('a WebSocket that is not read for too long is disconnected', async () => {
	await using server = await StreamServer.start({ limits: { stallTimeoutMs: 200 } })
	await using wire = await new TrpcSocketClient(server).open()
	wire.socket.pause()
	wire.subscribe(1, 'p')
	const delta = 'x'.repeat(60_000)
	const events = Array.from({ length: 16 }, (_, index) => ({
		event_type: 'step_output',
		step_id: 's',
		data: { channel: 'text', index, delta },
	}))
	for (let round = 0; round < 20; round++) await server.publish('p', events)
	await server.quiet()
})

test('many subscriptions on one socket that is not read use one send buffer together', async () => {
	await using server = await StreamServer.start()
	await using wire = await new TrpcSocketClient(server).open()
	const plans = Array.from({ length: 50 }, (_, index) => `p${index}`)
	for (const [id, plan] of plans.entries()) wire.subscribe(id, plan)
	await server.until(() => server.watchers, plans.length)
	const [socket] = server.sockets
	wire.socket.pause()
	using queued = trackMaximum(() => socket?.writableLength ?? 0)
	const data = { channel: 'text', delta: 'x'.repeat(60_000) }
	const events = Array.from({ length: 10 }, () => ({ event_type: 'step_output', step_id: 's', data }))
	for (const plan of plans) await server.publish(plan, [...events, { event_type: 'plan_completed', data: {} }])
	await server.until(() => server.report()[0]?.lagging, true)
	wire.socket.resume()
	for (let stopped = 0; stopped < plans.length; ) if ((await wire.next()).result?.type === 'stopped') stopped++
	expect(queued.most).toBeLessThanOrEqual(1024 * 1024 + 61_000)
	expect(server.report()[0]).toMatchObject({ delivered: plans.length * 11 })
})

/** Bytes of one read of a socket, and of a frame's head from a client. */
const CHUNK = 65_536
const FRAME_HEAD = 6

/**
 * An answer waits for its turn. What is refused before it is a call does not, so that the refusals of one read come on top.
 */
test.each([
	['large answers', { path: 'plans.get', input: { plan_id: 'p' } }, () => 11_000],
	['refusals', { path: 'plans.steal', input: {} }, (call: string) => Math.ceil(CHUNK / (call.length + FRAME_HEAD)) * 1000],
])(
	'a client that asks for %s without reading answers uses one send buffer, and is disconnected',
	async (_name, params, above) => {
		await using server = await StreamServer.start({ limits: { stallTimeoutMs: 300, sendBufferBytes: CHUNK } })
		await server.publish('p', [{ event_type: 'plan_started', data: { query: 'x'.repeat(10_000), total_steps: 1 } }])
		await using wire = await new TrpcSocketClient(server).open()
		const [socket] = server.sockets
		wire.socket.pause()
		using queued = trackMaximum(() => socket?.writableLength ?? 0)
		const call = JSON.stringify({ id: 1, method: 'query', params })
		const flood = setInterval(() => {
			for (let count = 0; count < 2000 && wire.socket.bufferedAmount < 1_000_000; count++) wire.socket.send(call)
		}, 1)
		await server.until(() => server.connections.size, 0)
		clearInterval(flood)
		expect(queued.most).toBeGreaterThan(0)
		expect(queued.most).toBeLessThanOrEqual(CHUNK + above(call))
		await server.quiet()
	},
)

test('more calls than may run at the same time are all answered', async () => {
	await using server = await StreamServer.start()
	await using wire = await new TrpcSocketClient(server).open()
	const ids = Array.from({ length: 300 }, (_, id) => id)
	const input = { plan_id: 'p', wait_ms: 60_000 }
	for (const id of ids) wire.send({ id, method: 'query', params: { path: 'plans.history', input } })
	await server.until(() => server.watchers, 100)
	await server.publish('p', [STARTED])
	const answered = new Set<number | null>()
	while (answered.size < ids.length) answered.add((await wire.next()).id)
	expect(answered).toEqual(new Set(ids))
	await server.until(() => server.watchers, 0)
})

test('waiting calls end with their connection', async () => {
	await using server = await StreamServer.start()
	await using wire = await new TrpcSocketClient(server).open()
	const input = { plan_id: 'p', wait_ms: 60_000 }
	for (const id of [1, 2]) wire.send({ id, method: 'query', params: { path: 'plans.history', input } })
	await server.until(() => server.watchers, 2)
	await wire[Symbol.asyncDispose]()
	await server.quiet()
})
