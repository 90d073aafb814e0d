import { expect, test } from 'vitest'
import { StreamServer, trackMaximum } from '../../support/servers/stream-server.js'
import { connectPlainSocket, type PlainMessage, SocketClient } from '../../support/streams/socket-client.js'

const STARTED = { event_type: 'plan_started', data: { query: 'Which?', total_steps: 1 } }
const COMPLETED = { event_type: 'plan_completed', data: {} }
const isPong = ({ event_type }: PlainMessage): boolean => event_type === 'pong'

function outputs(count: number, size: number): Record<string, unknown>[] {
	const data = (index: number) => ({ channel: 'text', index, delta: 'x'.repeat(size) })
	return Array.from({ length: count }, (_, index) => ({ event_type: 'step_output', step_id: 's', data: data(index) }))
}

/** What a message is, in short. */
function kind({ frame, event_type, plan_id }: PlainMessage): string {
	return `${frame ?? event_type} ${plan_id}`
}

test('the welcome names the client and the interval of signs of life', async () => {
	await using server = await StreamServer.start({ limits: { pingIntervalMs: 12_345 } })
	await using client = new SocketClient<PlainMessage>(`${server.url}/api/v1/streaming/ws/a.b:c-1_%32`)
	const { data, ...welcome } = await client.next()
	expect(welcome).toMatchObject({ event_type: 'ping', plan_id: 'system', step_id: null, timestamp: expect.stringMatching(/Z$/) })
	const [report] = server.report()
	expect(report).toMatchObject({ client_id: 'a.b:c-1_2', transport: 'websocket', delivered: 0 })
	expect(data).toEqual({
		message: expect.any(String),
		protocol: 'planstream-1',
		connection_id: report?.connection_id,
		heartbeat_ms: 12_345,
	})
})

test('an address may name the plan of the server itself', async () => {
	await using server = await StreamServer.start()
	await using client = await connectPlainSocket(server.url, 'c?plan_id=system')
	expect(await client.next()).toMatchObject({ frame: 'ready', plan_id: 'system' })
})

test('plans in the address are subscribed to at once, and each ends by itself', async () => {
	await using server = await StreamServer.start()
	await server.publish('p', [STARTED, COMPLETED])
	await server.publish('q', [STARTED])
	await using client = await connectPlainSocket(server.url, 'c?plan_id=p&plan_id=q&plan_id=p')
	const messages = await client.until((message) => kind(message) === 'end p')
	await server.until(() => server.report()[0]?.subscribed_plans, ['q'])
	await server.publish('q', [COMPLETED])
	messages.push(...(await client.until((message) => kind(message) === 'end q')))
	const of = (plan: string) => messages.filter(({ plan_id }) => plan_id === plan).map(kind)
	expect(of('p')).toEqual(['ready p', 'plan_started p', 'plan_completed p', 'end p'])
	expect(of('q')).toEqual(['ready q', 'plan_started q', 'plan_completed q', 'end q'])
	expect(server.report()[0]).toMatchObject({ subscribed_plans: [], delivered: 4 })
	client.send({ action: 'ping', timestamp: 'still here' })
	expect(await client.next()).toMatchObject({ event_type: 'pong', plan_id: 'system', data: { timestamp: 'still here' } })
})

test('subscribe accepts a position, filters, a snapshot and follow', async () => {
	await using server = await StreamServer.start()
	const { cursor } = await server.publish('p', [STARTED, ...outputs(2, 1)])
	await server.publish('p', [COMPLETED])
	await using client = await connectPlainSocket(server.url)
	client.send({ action: 'subscribe', plan_id: 'p', after: cursor })
	expect((await client.until(({ frame }) => frame === 'end')).map(kind)).toEqual(['ready p', 'plan_completed p', 'end p'])
	client.send({ action: 'subscribe', plan_id: 'p', after: 1, event_types: ['step_output'], step_id: 's' })
	expect((await client.until(({ frame }) => frame === 'end')).map(({ seq }) => seq)).toEqual([undefined, 2, 3, undefined])
	client.send({ action: 'subscribe', plan_id: 'p', after: 'now', snapshot: true, follow: 'always' })
	expect(await client.next()).toMatchObject({ frame: 'ready', from_seq: 5, state: { status: 'completed' } })
	client.send({ action: 'ping' })
	expect(await client.next()).toMatchObject({ event_type: 'pong', data: { timestamp: null } })
})

test('a second subscribe to a plan replaces the first, and nothing of the first follows it', async () => {
	await using server = await StreamServer.start()
	await server.publish('p', [STARTED, ...outputs(200, 1000)])
	await using client = await connectPlainSocket(server.url)
	client.send({ action: 'subscribe', plan_id: 'p', step_id: 's' })
	await client.until(({ seq }) => seq === 2)
	client.send({ action: 'subscribe', plan_id: 'p', after: 'now' })
	const before = await client.until(({ frame }) => frame === 'ready')
	expect(before.slice(0, -1).every(({ step_id }) => step_id === 's')).toBe(true)
	await server.publish('p', [COMPLETED])
	expect((await client.until(({ frame }) => frame === 'end')).map(kind)).toEqual(['plan_completed p', 'end p'])
	await server.until(() => server.hub.report().subscriptions, 0)
})

test('unsubscribe ends the messages of that plan', async () => {
	await using server = await StreamServer.start()
	await server.publish('p', [STARTED])
	await using client = await connectPlainSocket(server.url, 'c?plan_id=p&plan_id=q')
	await client.until(({ seq }) => seq === 1)
	client.send({ action: 'unsubscribe', plan_id: 'p' })
	client.send({ action: 'unsubscribe', plan_id: 'never' })
	client.send({ action: 'ping', timestamp: 1 })
	await client.until(isPong)
	await server.until(() => server.hub.report().subscriptions, 1)
	await server.publish('p', [COMPLETED])
	await server.publish('q', [STARTED])
	expect((await client.until(({ seq }) => seq === 1)).map(kind)).toEqual(['ready q', 'plan_started q'])
})

test.each([
	['text that is not JSON', 'nonsense', undefined],
	['JSON that is no object', '[1]', undefined],
	['bytes', Buffer.from('{"action":"ping"}'), undefined],
	['an action nobody knows', '{"action":"steal"}', 'action'],
	['no action', '{}', 'action'],
	['a plan id that is none', '{"action":"subscribe","plan_id":"a b"}', 'plan_id'],
	['a position that is none', '{"action":"subscribe","plan_id":"p","after":"nonsense"}', 'after'],
	['a snapshot where there is none', '{"action":"subscribe","plan_id":"p","after":"3","snapshot":true}', 'snapshot'],
	['a field nobody knows', '{"action":"subscribe","plan_id":"p","from":1}', undefined],
	['a field of another action', '{"action":"unsubscribe","plan_id":"p","after":1}', undefined],
	['a timestamp that is none', '{"action":"ping","timestamp":{}}', 'timestamp'],
])('%s is answered by a problem that lists what is allowed, and the connection stays', async (_name, frame, path) => {
	await using server = await StreamServer.start()
	await using client = await connectPlainSocket(server.url)
	client.socket.send(frame)
	const problem = await client.next()
	expect(problem).toMatchObject({ frame: 'problem', plan_id: null, cursor: null, status: 400, code: 'bad_request' })
	expect(problem.allowed).toBeInstanceOf(Array)
	expect(problem.detail).toMatch(/\.$/)
	if (path !== undefined) expect(problem.path).toBe(path)
	client.send({ action: 'ping' })
	expect(isPong(await client.next())).toBe(true)
	expect(server.problems).toEqual([])
})

test('three senseless frames in a row close with 4400; a valid one starts the count again', async () => {
	await using server = await StreamServer.start()
	await using client = await connectPlainSocket(server.url, 'c?plan_id=p')
	for (const frame of ['1', '2']) client.socket.send(frame)
	client.send({ action: 'ping' })
	for (const frame of ['1', '2', '3', '4']) client.socket.send(frame)
	expect(await client.closed).toBe(4400)
	expect(client.arrived.filter(({ frame }) => frame === 'problem')).toHaveLength(5)
	await server.quiet()
})

test('an invalid upgrade is refused with the reason', async () => {
	await using server = await StreamServer.start()
	const refusal = async (address: string) => {
		const client = new SocketClient<PlainMessage>(`${server.url}/api/v1/streaming/ws/${address}`)
		const [, response] = (await new Promise<unknown[]>((resolve) => {
			client.socket.once('unexpected-response', (...answer) => resolve(answer))
		})) as [unknown, { statusCode: number; on(event: 'data', listener: (chunk: Buffer) => void): void }]
		const body = await new Promise<string>((resolve) => response.on('data', (chunk) => resolve(String(chunk))))
		return { status: response.statusCode, ...(JSON.parse(body) as object) }
	}
	expect(await refusal('a%20b')).toMatchObject({ status: 400, code: 'bad_request', path: 'client_id' })
	expect(await refusal('%')).toMatchObject({ status: 400, code: 'bad_request', path: 'client_id' })
	expect(await refusal('x'.repeat(129))).toMatchObject({ status: 400, code: 'bad_request', path: 'client_id' })
	expect(await refusal('c?plan_id=a%20b')).toMatchObject({ status: 400, code: 'bad_request', path: 'plan_id' })
	expect(await refusal('c?plan=p')).toMatchObject({ status: 400, code: 'bad_request', path: 'plan', allowed: ['plan_id'] })
	expect(await refusal('c/d')).toMatchObject({ status: 404, code: 'not_found' })
	await server.quiet()
})

test('a connection has a hundred plans at most; replacing one adds none', async () => {
	await using server = await StreamServer.start()
	await using client = await connectPlainSocket(server.url)
	for (let plan = 1; plan <= 101; plan++) client.send({ action: 'subscribe', plan_id: `p${plan}` })
	client.send({ action: 'subscribe', plan_id: 'p1' })
	client.send({ action: 'ping' })
	const messages = await client.until(isPong)
	expect(messages.filter(({ frame }) => frame === 'problem')).toMatchObject([{ code: 'bad_request', limit: 100 }])
	expect(server.report()[0]?.subscribed_plans).toHaveLength(100)
	await client[Symbol.asyncDispose]()
	await server.quiet()
})

test('a frame of more than 64 KiB closes with 1009', async () => {
	await using server = await StreamServer.start()
	await using client = await connectPlainSocket(server.url)
	client.socket.send('x'.repeat(64 * 1024))
	expect(await client.next()).toMatchObject({ frame: 'problem' })
	client.socket.send('x'.repeat(64 * 1024 + 1))
	expect(await client.closed).toBe(1009)
	await server.quiet()
})

test('a stopping server ends each subscription with end, then closes the socket with 1012', async () => {
	await using server = await StreamServer.start()
	await server.publish('p', [STARTED])
	await using client = await connectPlainSocket(server.url, 'c?plan_id=p&plan_id=q')
	await using idle = await connectPlainSocket(server.url, 'idle')
	await client.until(({ seq }) => seq === 1)
	server.drain()
	expect(await Promise.all([client.closed, idle.closed])).toEqual([1012, 1012])
	const ends = client.arrived.filter(({ frame }) => frame === 'end')
	const end = { reason: 'draining', resume: true }
	expect(ends).toMatchObject([
		{ ...end, final_seq: 1 },
		{ ...end, final_seq: 0 },
	])
	await server.quiet()
})

test('a hundred plans on a socket that is not read use one send buffer, and then each gets its share', async () => {
	await using server = await StreamServer.start()
	const plans = Array.from({ length: 100 }, (_, index) => `p${index}`)
	await using client = await connectPlainSocket(server.url, `c?${plans.map((plan_id) => `plan_id=${plan_id}`).join('&')}`)
	await server.until(() => server.watchers, 100)
	const [socket] = server.sockets
	client.socket.pause()
	using queued = trackMaximum(() => socket?.writableLength ?? 0)
	for (const plan of plans) await server.publish(plan, [...outputs(6, 60_000), COMPLETED])
	await server.until(() => server.report()[0]?.lagging, true)
	client.socket.resume()
	const ended = new Set<unknown>()
	const seen = new Map<unknown, number>()
	let widest = 0
	while (ended.size < plans.length) {
		const { frame, plan_id, seq } = await client.next()
		if (frame === 'end') ended.add(plan_id)
		if (seq !== undefined) seen.set(plan_id, seq)
		if (seen.size === plans.length && ended.size === 0)
			widest = Math.max(widest, Math.max(...seen.values()) - Math.min(...seen.values()))
	}
	expect(queued.most).toBeLessThanOrEqual(1024 * 1024 + 61_000)
	expect([...seen.values()]).toEqual(plans.map(() => 7))
	expect(widest).toBeLessThanOrEqual(3)
	expect(server.report()[0]).toMatchObject({ delivered: 700, lagging: false })
})

test('a client that sends requests without reading answers uses one send buffer, and is disconnected', async () => {
	await using server = await StreamServer.start({ limits: { stallTimeoutMs: 300, sendBufferBytes: 65_536 } })
	await using client = await connectPlainSocket(server.url)
	const [socket] = server.sockets
	client.socket.pause()
	using queued = trackMaximum(() => socket?.writableLength ?? 0)
	const ping = JSON.stringify({ action: 'ping', timestamp: 'x'.repeat(100) })
	const flood = setInterval(() => {
		for (let count = 0; count < 2000 && client.socket.bufferedAmount < 1_000_000; count++) client.socket.send(ping)
	}, 1)
	await server.until(() => server.connections.size, 0)
	clearInterval(flood)
	expect(queued.most).toBeGreaterThan(0)
	expect(queued.most).toBeLessThanOrEqual(65_536 + 1000)
	await server.quiet()
})
