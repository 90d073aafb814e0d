import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { describe, expect, it } from 'vitest'
import { StreamServer } from '../../support/servers/stream-server.js'

async function open(server: StreamServer): Promise<Socket & Disposable> {
	const socket = connect(server.port, '127.0.0.1')
	socket.on('error', () => undefined)
	await once(socket, 'connect')
	return Object.assign(socket, { [Symbol.dispose]: () => socket.destroy() })
}

const request = (path: string) => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`
const history = (query = '') => request(`/api/v1/streaming/plans/p/history${query}`)

async function readUntil(socket: Socket, isDone: (text: string) => boolean): Promise<string> {
	let text = ''
	for await (const chunk of socket) {
		text += String(chunk)
		if (isDone(text)) break
	}
	return text
}

describe('requests that are pipelined on one connection', () => {
	it('are answered in their order', async () => {
		await using server = await StreamServer.start()
		using socket = await open(server)
		const paths = Array.from({ length: 300 }, (_, index) => `/nothing/${index}`)
		socket.write(paths.map(request).join(''))
		const text = await readUntil(socket, (all) => all.includes('/nothing/299.'))
		expect([...text.matchAll(/nothing at (\S+)\./g)].map(([, path]) => path)).toEqual(paths)
	})

	it('are read with their bodies', async () => {
		await using server = await StreamServer.start()
		using socket = await open(server)
		const publish = (step_id: string): string => {
			const body = JSON.stringify({ events: [{ event_type: 'step_progress', step_id, data: { progress: 0.5 } }] })
			const head = `POST /api/v1/streaming/plans/p/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json`
			return `${head}\r\nContent-Length: ${body.length}\r\n\r\n${body}`
		}
		socket.write(Array.from({ length: 50 }, (_, index) => publish(`s${index}`)).join(''))
		await expect.poll(async () => (await server.texts('p')).length, { interval: 5, timeout: 10_000 }).toBe(50)
		const steps = (await server.texts('p')).map((text) => (JSON.parse(text) as { step_id: string }).step_id)
		expect(steps).toEqual(Array.from({ length: 50 }, (_, index) => `s${index}`))
	})

	it('start only when the answer to the one before has ended', async () => {
		await using server = await StreamServer.start()
		using socket = await open(server)
		socket.write(history('?wait_ms=60000') + history('?wait_ms=60000') + request('/api/v1/plans'))
		await server.until(() => server.watchers, 1)
		using other = await open(server)
		other.write(history('?wait_ms=60000'))
		await server.until(() => server.watchers, 2)
		await server.publish('p', [{ event_type: 'plan_started', data: { query: 'q', total_steps: 1 } }])
		expect(await readUntil(socket, (all) => all.includes('next_page'))).toMatch(/event_count.*event_count.*next_page/s)
	})

	it('are dropped with the connection when they wait behind a stream, once its next heartbeat fails', async () => {
		await using server = await StreamServer.start({ limits: { heartbeatMs: 20 } })
		using socket = await open(server)
		socket.write(request('/api/v1/streaming/plans/p/events') + request('/api/v1/streaming/plans/changes').repeat(20))
		await server.until(() => server.connections.size, 1)
		socket.destroy()
		await server.quiet()
	})

	it('are not read while several wait, so that one answer waits however many are sent', async () => {
		await using server = await StreamServer.start()
		const data = { channel: 'text', delta: 'x'.repeat(60_000) }
		for (let index = 0; index < 64; index++)
			await server.publish('p', [{ event_type: 'step_output', step_id: 's', data: { ...data, index } }])
		using socket = await open(server)
		socket.pause()
		const requests = history().repeat(5000)
		socket.write(requests)
		const [peer] = server.sockets
		await server.until(() => (peer?.writableLength ?? 0) > 1_000_000, true)
		expect(peer?.writableLength).toBeLessThan(5_000_000)
		expect(peer?.bytesRead).toBeLessThan(requests.length)
		expect(peer?.isPaused()).toBe(true)
	})
})
