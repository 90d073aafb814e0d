import { once } from 'node:events'
import { Agent, createServer, type IncomingMessage, request } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { Readable } from 'node:stream'
import { getRequestListener } from '@hono/node-server'
import { Hono } from 'hono'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createPlanstream } from '../../../server/src/embed/planstream.js'
import { createLogger } from '../../../server/src/ops/logger.js'
import type { RunningServer } from '../../../server/src/server.js'
import { startTestServer } from '../../support/servers/test-server.js'

const PIECE = 65_536
const IMPORT = '/api/v1/admin/import'
const PUBLISH = '/api/v1/streaming/plans/p/events'

let server: RunningServer
beforeAll(async () => {
	server = await startTestServer()
})
afterAll(() => server[Symbol.asyncDispose]())

/** Pieces of which the first has a line that is not JSON. */
function* pieces(bytes: number): Generator<Buffer> {
	for (let sent = 0; sent < bytes; sent += PIECE) yield Buffer.alloc(PIECE, sent === 0 ? 'x\n' : 'x')
}

const bodies = {
	'of a known length': (bytes: number) => Buffer.concat([...pieces(bytes)]),
	'in chunks': (bytes: number) => Readable.toWeb(Readable.from(pieces(bytes))) as ReadableStream,
}

async function statuses(url: string, body: () => BodyInit): Promise<Record<number, number>> {
	const counts: Record<number, number> = {}
	for (let round = 0; round < 20; round++) {
		const options = { method: 'POST', body: body(), duplex: 'half', headers: { 'content-type': 'application/json' } }
		const answer = await fetch(url, options)
		expect(await answer.json()).toMatchObject({ code: expect.any(String) })
		counts[answer.status] = (counts[answer.status] ?? 0) + 1
	}
	return counts
}

describe('An answer that is made before the whole body has arrived', () => {
	it.each(Object.entries(bodies).flatMap(([name, make]) => [0.5, 2].map((mib) => [name, mib, make] as const)))(
		'reaches fetch each time, with a body %s of %d MiB',
		async (_name, mib, make) => {
			expect(await statuses(server.url + IMPORT, () => make(mib * 2 ** 20))).toEqual({ 400: 20 })
			if (mib > 1) expect(await statuses(server.url + PUBLISH, () => make(mib * 2 ** 20))).toEqual({ 413: 20 })
		},
	)

	it('reaches fetch each time from a server that is mounted in another', async () => {
		await using planstream = await createPlanstream({ store: { kind: 'memory' }, logger: createLogger('silent') })
		const listener = getRequestListener(new Hono().route('/below', planstream.app).fetch)
		const host = createServer((incoming, outgoing) => void listener(incoming, outgoing))
		host.listen(0, '127.0.0.1')
		await once(host, 'listening')
		const url = `http://127.0.0.1:${(host.address() as AddressInfo).port}/below${IMPORT}`
		for (const make of Object.values(bodies)) expect(await statuses(url, () => make(2 ** 21))).toEqual({ 400: 20 })
		host.closeAllConnections()
		host.close()
	})

	it('comes at once, when the body does not, and the connection is closed behind it', async () => {
		const socket = connect(server.port, '127.0.0.1')
		socket.write(`POST ${IMPORT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\nx\n`)
		let text = ''
		socket.on('data', (bytes: Buffer) => {
			text += bytes
		})
		await once(socket, 'end')
		expect(text).toMatch(/^HTTP\/1.1 400 .*connection: close/is)
		socket.destroy()
	})

	it('is the last thing on a connection whose client goes on sending', async () => {
		const socket = connect({ port: server.port, host: '127.0.0.1', allowHalfOpen: true })
		socket.on('error', () => undefined)
		socket.resume()
		socket.write(`POST ${IMPORT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${2 ** 40}\r\n\r\nx\n`)
		const piece = Buffer.alloc(PIECE, 'x')
		const send = (): void => {
			while (!socket.destroyed && socket.write(piece));
		}
		socket.on('drain', send)
		send()
		await new Promise((resolve) => void socket.once('close', resolve))
		expect(socket.bytesWritten).toBeLessThan(64 * 2 ** 20)
	}, 20_000)
})

it('a connection is kept after an answer to a body that has arrived', async () => {
	using agent = Object.assign(new Agent({ keepAlive: true, maxSockets: 1 }), { [Symbol.dispose]: () => agent.destroy() })
	const ports = new Set<number | undefined>()
	for (let round = 0; round < 3; round++) {
		const outgoing = request(server.url + IMPORT, { method: 'POST', agent }).end('x\n')
		const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage]
		expect([incoming.statusCode, incoming.headers.connection]).toEqual([400, 'keep-alive'])
		ports.add(incoming.socket.localPort)
		await incoming.toArray()
	}
	expect(ports.size).toBe(1)
})
