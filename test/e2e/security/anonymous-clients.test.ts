import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { describe, expect, it, vi } from 'vitest'
import { MemoryLog } from '../../../server/src/log/memory.js'
import { type HttpResponse, sendRequest } from '../../support/http-request.js'
import { bearer, startKeyedServer } from '../../support/servers/keyed-server.js'
import { startTestServer, type TestServerOptions } from '../../support/servers/test-server.js'
import { connectPlainSocket, TrpcSocketClient } from '../../support/streams/socket-client.js'

/** No peer of these tests is such a proxy, so that the address of this machine has limits, too. */
const trustedProxies = ['192.0.2.0/24']
const UPGRADE =
	'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n'

function start(options: TestServerOptions = {}) {
	return startKeyedServer(
		{ reader: { tenant: 'acme', scopes: ['plans:read', 'events:publish'] } },
		{ trustedProxies, ...options },
	)
}

async function open(port: number, bytes = ''): Promise<Socket> {
	const socket = connect(port, '127.0.0.1')
	socket.on('error', () => undefined)
	await once(socket, 'connect')
	socket.write(bytes)
	return socket
}

const upgradeTo = (path: string, more = '') => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n${more}${UPGRADE}\r\n`

describe('a WebSocket without a key', () => {
	it.each([
		['plain', '/api/v1/streaming/ws/x', ''],
		['of tRPC', '/trpc', ''],
		['that announces a key', '/trpc?connectionParams=1', ''],
		['with a wrong key', '/trpc', 'Authorization: Bearer psk_wrong\r\n'],
	])('takes no place from streams: %s', async (_kind, path, more) => {
		await using server = await start({ maxConnections: 2 })
		const sockets: Socket[] = []
		for (let index = 0; index < 6; index++) {
			const socket = await open(server.port, upgradeTo(path, more))
			const [head] = (await once(socket, 'data')) as [Buffer]
			expect(head.toString()).toMatch(/^HTTP\/1.1 101 /)
			sockets.push(socket)
		}
		await using _first = await connectPlainSocket(server.url, 'me?plan_id=p', { headers: bearer(server.keys.reader) })
		await using _second = await connectPlainSocket(server.url, 'me2?plan_id=p', { headers: bearer(server.keys.reader) })
		for (const socket of sockets) socket.destroy()
	})

	it('is cut after a refusal although it never answers the close frame', async () => {
		await using server = await start()
		const socket = await open(server.port, upgradeTo('/trpc'))
		socket.resume()
		await once(socket, 'close')
		await expect.poll(() => server.report().connections).toBe(0)
	})

	it('may send 4 KiB in 8 fragments before its key, and more with it', async () => {
		await using server = await start()
		const params = JSON.stringify({ method: 'connectionParams', data: { token: server.keys.reader } })
		const call = { id: 1, method: 'query', params: { path: 'agents.list', input: {}, filler: 'x'.repeat(10_000) } }
		await using client = await new TrpcSocketClient(server, '/trpc?connectionParams=1').open()
		client.socket.send(params)
		client.send(call)
		expect(await client.next()).toMatchObject({ id: 1, result: { type: 'data' } })

		await using large = await new TrpcSocketClient(server, '/trpc?connectionParams=1').open()
		large.socket.send(params.padEnd(4097))
		expect(await large.closed).toBe(1009)
		await using pieces = await new TrpcSocketClient(server, '/trpc?connectionParams=1').open()
		for (let index = 0; index < 9; index++) pieces.socket.send('x', { fin: false })
		expect(await pieces.closed).toBe(1008)
	})
})

describe('sockets without a key', () => {
	it('close the oldest beyond the limit of their address, and a client with a key always gets in', async () => {
		await using server = await start({ limits: { anonymous: { sockets_per_ip: 3 } } })
		const [oldest, ...others] = [await open(server.port), await open(server.port), await open(server.port)]
		const gone = once(oldest, 'close')
		await using client = await connectPlainSocket(server.url, 'me?plan_id=p', { headers: bearer(server.keys.reader) })
		await gone
		expect(await client.next()).toMatchObject({ frame: 'ready' })
		const more = [await open(server.port), await open(server.port)]
		expect((await sendRequest(server, '/', { headers: bearer(server.keys.reader) })).status).toBe(200)
		expect(client.socket.readyState).toBe(client.socket.OPEN)
		for (const socket of [...others, ...more]) socket.destroy()
	})

	it('close the oldest beyond the limit of all addresses', async () => {
		await using server = await start({ limits: { anonymous: { sockets: 2, sockets_per_ip: null } } })
		const [oldest, second] = [await open(server.port), await open(server.port)]
		const gone = once(oldest, 'close')
		const third = await open(server.port)
		await gone
		expect(second.destroyed).toBe(false)
		for (const socket of [second, third]) socket.destroy()
	})
})

describe('requests without a key', () => {
	const ask = (server: { readonly url: string }, path: string, headers = {}): Promise<HttpResponse> =>
		sendRequest(server, path, { headers })
	async function askMany(server: { readonly url: string }, path: string, count: number, headers = {}): Promise<number[]> {
		const statuses: number[] = []
		for (let index = 0; index < count; index++) statuses.push((await ask(server, path, headers)).status)
		return statuses
	}
	const few = { anonymous: { requests_per_ip: 1, requests: 1000 } }

	it('are refused with Retry-After beyond the rate of their address, and requests with a key are not', async () => {
		await using server = await start({ limits: few })
		const statuses = await askMany(server, '/api/v1/plans', 10)
		expect(statuses.slice(0, 3)).toEqual([401, 401, 401])
		expect(statuses).toContain(429)
		for (const path of ['/api/v1/plans', '/docs', '/health/live', '/trpc/plans.list']) {
			const refused = await ask(server, path, path === '/docs' ? {} : { authorization: 'Bearer psk_wrong' })
			expect([path, refused.status, refused.headers['retry-after'], refused.headers.connection]).toEqual([
				path,
				429,
				'1',
				'close',
			])
			expect(refused.text).toContain('"retry_after_ms":1000')
		}
		for (const path of ['/', '/docs', '/api/v1/plans'])
			expect(await askMany(server, path, 5, bearer(server.keys.reader))).toEqual([200, 200, 200, 200, 200])
		const upgrade = await open(server.port, upgradeTo('/trpc'))
		const [head] = (await once(upgrade, 'data')) as [Buffer]
		expect(head.toString()).toMatch(/^HTTP\/1.1 429 /)
	})

	it('are refused beyond the rate of all addresses, except for health checks', async () => {
		await using server = await start({ trustedProxies: [], limits: { anonymous: { requests: 2 } } })
		expect(await askMany(server, '/api/v1/plans', 6)).toContain(429)
		expect(await askMany(server, '/health/live', 20)).not.toContain(429)
	})

	it('are counted by the address that a trusted proxy gives, and by no other', async () => {
		const from = (address: string) => ({ 'x-forwarded-for': address })
		await using server = await start({ trustedProxies: ['127.0.0.0/8'], limits: few })
		expect(await askMany(server, '/', 10, from('203.0.113.1'))).toContain(429)
		expect(await askMany(server, '/', 3, from('203.0.113.2'))).toEqual([401, 401, 401])
		expect(await askMany(server, '/', 3, from('203.0.113.9, 203.0.113.1'))).toContain(429)
		expect(await askMany(server, '/', 5, from('2001:db8:1:2::7'))).toContain(429)
		expect(await askMany(server, '/', 3, from('2001:db8:1:2:ffff::8'))).toContain(429)
		expect(await askMany(server, '/', 3, from('2001:db8:1:3::7'))).toEqual([401, 401, 401])

		await using straight = await start({ limits: few })
		const forged = await Promise.all([1, 2, 3, 4, 5, 6, 7, 8].map((last) => ask(straight, '/', from(`203.0.113.${last}`))))
		expect(forged.map(({ status }) => status)).toContain(429)
	})

	it('ask the store whether it is ready at most once a second', async () => {
		await using server = await start({ limits: { anonymous: { requests_per_ip: null } } })
		const list = vi.spyOn(MemoryLog.prototype, 'list')
		await Promise.all(Array.from({ length: 30 }, () => ask(server, '/health/ready')))
		expect(list.mock.calls.length).toBeLessThanOrEqual(2)
		list.mockRestore()
	})
})

it('have none of these limits on a server without keys', async () => {
	await using server = await startTestServer({ limits: { anonymous: { requests: 1, requests_per_ip: 1, sockets: 1 } } })
	const first = await open(server.port)
	const answers = await Promise.all(Array.from({ length: 10 }, () => sendRequest(server, '/api/v1/plans')))
	expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]))
	expect(first.destroyed).toBe(false)
	first.destroy()
})

it('get descriptions that are compressed once, and 304 when the client has them', async () => {
	await using server = await start()
	for (const path of ['/docs', '/openapi.json', '/asyncapi.json']) {
		const plain = await sendRequest(server, path)
		const packed = await sendRequest(server, path, { headers: { 'accept-encoding': 'br, gzip' } })
		expect([plain.status, plain.headers['content-encoding'], packed.headers['content-encoding']]).toEqual([
			200,
			undefined,
			'gzip',
		])
		expect(Number(packed.headers['content-length'] ?? packed.text.length)).toBeLessThan(plain.text.length / 2)
		const again = await sendRequest(server, path, { headers: { 'if-none-match': plain.headers.etag ?? '' } })
		expect([again.status, again.text]).toEqual([304, ''])
		const refusing = await sendRequest(server, path, { headers: { 'accept-encoding': 'gzip;q=0' } })
		expect(refusing.headers['content-encoding']).toBeUndefined()
	}
})

it.each([
	['public', 200, 200],
	['key', 401, 200],
	['off', 401, 404],
] as const)('get the descriptions as the setting allows: %s', async (docs, without, withKey) => {
	await using server = await start({ docs })
	for (const path of ['/docs', '/openapi.json', '/asyncapi.json']) {
		expect((await sendRequest(server, path)).status).toBe(without)
		expect((await sendRequest(server, path, { headers: bearer(server.keys.reader) })).status).toBe(withKey)
	}
})
