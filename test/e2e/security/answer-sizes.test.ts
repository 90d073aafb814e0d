import { once } from 'node:events'
import { connect } from 'node:net'
import { createTRPCClient, httpBatchLink } from '@trpc/client'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import type { AppRouter } from '../../../server/src/api/router.js'
import { CONNECTION_LIMITS } from '../../../server/src/connections/connections.js'
import { LOCAL_PRINCIPAL } from '../../../server/src/hub/principal.js'
import { getProblem, sendRequest } from '../../support/http-request.js'
import { StreamServer, type StreamServerOptions } from '../../support/servers/stream-server.js'

const MIB = 1024 * 1024
const EVENT_BYTES = 60_000

/** A server with a plan whose history fills pages of 4 MiB. */
async function startServer(options?: StreamServerOptions): Promise<StreamServer> {
	const server = await StreamServer.start(options)
	const data = { channel: 'text', delta: 'x'.repeat(EVENT_BYTES) }
	for (let index = 0; index < 80; index++) {
		await server.publish('p', [{ event_type: 'step_output', step_id: 's', data: { ...data, index } }])
	}
	return server
}

const historyCalls = (count: number): string => {
	const input = JSON.stringify(Object.fromEntries(Array.from({ length: count }, (_, index) => [index, { plan_id: 'p' }])))
	return `/trpc/${Array(count).fill('plans.history').join(',')}?batch=1&input=${encodeURIComponent(input)}`
}

describe('a tRPC batch', () => {
	it('answers 8 MiB in total, and the calls behind it with too_large', async () => {
		await using server = await startServer()
		const { text, body } = await sendRequest(server, historyCalls(100))
		expect(text.length).toBeLessThan(8 * MIB + 100_000)
		const answers = body as { error?: { data: { problem: object } } }[]
		expect(answers).toHaveLength(100)
		expect(answers[0]).toHaveProperty('result')
		expect(answers[99]?.error?.data.problem).toMatchObject({
			code: 'too_large',
			limit: 8 * MIB,
			detail: expect.stringContaining('Split it into smaller batches') as string,
		})
	})

	it('has 20 answers to 20 small calls of the stock link', async () => {
		await using server = await startServer()
		const client = createTRPCClient<AppRouter>({ links: [httpBatchLink({ url: `${server.url}/trpc` })] })
		const calls = Array.from({ length: 20 }, () => client.plans.history.query({ plan_id: 'p', limit: 1 }))
		for (const { event_count } of await Promise.all(calls)) expect(event_count).toBe(1)
	})

	it('waits for the events of all its calls at the same time', async () => {
		await using server = await startServer()
		const { head_seq } = await server.hub.page(LOCAL_PRINCIPAL, 'p', { after: 'now', limit: 1, waiting: AbortSignal.abort() })
		const client = createTRPCClient<AppRouter>({ links: [httpBatchLink({ url: `${server.url}/trpc` })] })
		const input = { plan_id: 'p', after: String(head_seq), wait_ms: 60_000 }
		const calls = Array.from({ length: 3 }, () => client.plans.history.query(input))
		await server.until(() => server.watchers, 3)
		await server.publish('p', [{ event_type: 'plan_started', data: { query: 'q', total_steps: 1 } }])
		for (const { event_count } of await Promise.all(calls)) expect(event_count).toBe(1)
	})
})

describe('calls in one frame of a tRPC WebSocket', () => {
	it('are answered while the client reads the answers, and at most one more is made', async () => {
		await using server = await startServer()
		const client = new WebSocket(`${server.url.replace('http', 'ws')}/trpc`)
		await once(client, 'open')
		const [socket] = server.sockets
		client.pause()
		let made = 0
		const { page } = server.hub
		server.hub.page = (...given) => {
			made++
			return page.apply(server.hub, given)
		}
		const call = (id: number) => ({ id, method: 'query', params: { path: 'plans.history', input: { plan_id: 'p' } } })
		client.send(JSON.stringify(Array.from({ length: 12 }, (_, id) => call(id))))
		await server.until(() => (socket?.writableLength ?? 0) > CONNECTION_LIMITS.sendBufferBytes, true)
		expect(socket?.writableLength).toBeLessThan(CONNECTION_LIMITS.sendBufferBytes + 5 * MIB)
		expect(made).toBeLessThan(5)
		const ids = new Set<unknown>()
		client.on('message', (data: Buffer) => ids.add((JSON.parse(String(data)) as { id: unknown }).id))
		client.resume()
		await server.until(() => ids.size, 12)
		client.close()
		await server.quiet()
	})

	it('are refused when an id has more than 64 characters', async () => {
		await using server = await StreamServer.start()
		const client = new WebSocket(`${server.url.replace('http', 'ws')}/trpc`)
		await once(client, 'open')
		const params = { path: 'plans.events', input: { plan_id: 'p' } }
		const subscribe = (id: string) => client.send(JSON.stringify({ id, method: 'subscription', params }))
		subscribe('x'.repeat(65))
		const [refused] = (await once(client, 'message')) as [Buffer]
		expect(JSON.parse(String(refused))).toMatchObject({
			id: null,
			error: { data: { problem: { code: 'bad_request', path: 'id', limit: 64 } } },
		})
		subscribe('x'.repeat(64))
		const [started] = (await once(client, 'message')) as [Buffer]
		expect(JSON.parse(String(started))).toMatchObject({ id: 'x'.repeat(64), result: { type: 'started' } })
		client.close()
		await server.quiet()
	})
})

describe('subscriptions on one socket that is not read', () => {
	it('hold no page while they wait, and each gets its ready frame and every event afterwards', { timeout: 60_000 }, async () => {
		await using server = await startServer()
		const client = new WebSocket(`${server.url.replace('http', 'ws')}/trpc`)
		await once(client, 'open')
		const [socket] = server.sockets
		client.pause()
		const params = { path: 'plans.events', input: { plan_id: 'p' } }
		const ids = [1, 2, 3, 4, 5, 6]
		client.send(JSON.stringify(ids.map((id) => ({ id, method: 'subscription', params }))))
		await server.until(() => (socket?.writableLength ?? 0) > CONNECTION_LIMITS.sendBufferBytes, true)
		const got = new Map<number, string[]>()
		client.on('message', (data: Buffer) => {
			const { id, result } = JSON.parse(String(data)) as {
				id: number
				result: { data?: { data: { frame?: string; seq?: number } } }
			}
			const item = result.data?.data
			if (item !== undefined) got.set(id, [...(got.get(id) ?? []), item.frame ?? String(item.seq)])
		})
		client.resume()
		const expected = ['ready', ...Array.from({ length: 80 }, (_, index) => String(index + 1))]
		for (const id of ids) await server.until(() => got.get(id)?.length, expected.length)
		for (const id of ids) expect(got.get(id)).toEqual(expected)
		client.close()
		await server.quiet()
	})
})

describe('answers that are not read', () => {
	const ask = async (server: StreamServer) => {
		const socket = connect(server.port, '127.0.0.1')
		socket.on('error', () => undefined)
		socket.pause()
		await once(socket, 'connect')
		socket.write('GET /api/v1/streaming/plans/p/history HTTP/1.1\r\nHost: localhost\r\n\r\n')
		return { socket, closed: once(socket, 'close'), [Symbol.dispose]: () => socket.destroy() }
	}

	it('are cut after the timeout, also without a stream', async () => {
		await using server = await startServer({ limits: { stallTimeoutMs: 300 } })
		using _stalled = await ask(server)
		await server.until(() => [...server.sockets].some(({ writableLength }) => writableLength > MIB), true)
		await server.until(() => server.sockets.size, 0)
	})

	it('are refused beyond the budget of the process, except for health checks', async () => {
		await using server = await startServer({ budget: { answers_bytes: 2 * MIB } })
		using _stalled = await ask(server)
		await server.until(() => [...server.sockets].some(({ writableLength }) => writableLength > MIB), true)
		const refused = await sendRequest(server, '/api/v1/plans')
		expect(refused).toMatchObject({ status: 503, headers: { 'retry-after': '1' } })
		expect(getProblem(refused)).toMatchObject({ code: 'overloaded', limit: 2 * MIB })
		expect((await sendRequest(server, '/health/ready')).status).toBe(200)
		await expect.poll(async () => (await sendRequest(server, '/api/v1/plans')).status, { timeout: 10_000 }).toBe(200)
	})
})

describe('a subscription over HTTP', () => {
	let server: StreamServer
	beforeAll(async () => {
		server = await StreamServer.start({ maxConnections: 3 })
	})
	afterAll(() => server[Symbol.asyncDispose]())

	const path = `/trpc/plans.events?input=${encodeURIComponent(JSON.stringify({ plan_id: 'p', follow: 'always' }))}`

	it.each([
		['the content type text/plain', path, { 'content-type': 'text/plain' }],
		['the content type of a form', path, { 'content-type': 'multipart/form-data; boundary=x' }],
		['lines of JSON asked for', path, { 'trpc-accept': 'application/jsonl' }],
		['a slash too many', path.replace('?', '/?'), {}],
	])('counts as a connection with %s', async (_name, address, headers) => {
		const leave = new AbortController()
		const open = Array.from({ length: 4 }, () => fetch(server.url + address, { headers, signal: leave.signal }))
		const texts = await Promise.all(
			open.map(async (response) => {
				const { value } = (await (await response).body?.getReader().read()) ?? {}
				return new TextDecoder().decode(value)
			}),
		)
		expect(server.connections.size).toBe(3)
		expect(texts.filter((text) => text.includes('too_many_connections'))).toHaveLength(1)
		leave.abort()
		await server.quiet()
	})
})
