import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createLogger } from '../../../server/src/ops/logger.js'
import type { RunningServer } from '../../../server/src/server.js'
import { getProblem, sendRequest } from '../../support/http-request.js'
import { startTestServer } from '../../support/servers/test-server.js'

const logged: unknown[] = []
const HOST = 'Host: localhost\r\n'
const WEBSOCKET =
	'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n'

let server: RunningServer
beforeAll(async () => {
	const error = (...told: unknown[]): void => void logged.push(told)
	server = await startTestServer({ logger: Object.assign(createLogger('silent'), { error }) })
})
afterAll(async () => {
	expect(logged).toEqual([])
	await server[Symbol.asyncDispose]()
})

async function open(): Promise<Socket> {
	const socket = connect(server.port, '127.0.0.1')
	await once(socket, 'connect')
	return socket
}

/** All that is answered to these bytes. */
async function answerTo(bytes: string): Promise<string> {
	const socket = await open()
	socket.write(bytes)
	return text(socket)
}

it('an HTTP/1.0 request is answered without a Host header', async () => {
	expect(await answerTo('GET /health/live HTTP/1.0\r\n\r\n')).toMatch(/^HTTP\/1.1 200 .*\{"status":"live"\}$/s)
})

describe('bytes that are not an HTTP request', () => {
	it.each([
		['nonsense', 'nonsense\r\n\r\n', 400, 'bad_request'],
		['another protocol', '\x16\x03\x01\x02\0\x01\0', 400, 'bad_request'],
		['a length that is none', `POST /api/v1/plans HTTP/1.1\r\n${HOST}Content-Length: x\r\n\r\n`, 400, 'bad_request'],
		[
			'two ways to frame a body',
			`POST / HTTP/1.1\r\n${HOST}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n`,
			400,
			'bad_request',
		],
		['no host', 'GET /health/live HTTP/1.1\r\nConnection: close\r\n\r\n', 400, 'bad_request'],
		['two hosts', `GET /health/live HTTP/1.1\r\n${HOST}host: evil.example\r\nConnection: close\r\n\r\n`, 400, 'bad_request'],
		['two hosts of a WebSocket', `GET /trpc HTTP/1.1\r\n${HOST}${HOST}${WEBSOCKET}\r\n`, 400, 'bad_request'],
		['headers beyond 16 KiB', `GET / HTTP/1.1\r\n${HOST}X: ${'x'.repeat(20_000)}\r\n\r\n`, 413, 'too_large'],
		['an expectation', `POST /api/v1/plans HTTP/1.1\r\n${HOST}Expect: miracles\r\nContent-Length: 0\r\n\r\n`, 400, 'bad_request'],
		['CONNECT', `CONNECT localhost:80 HTTP/1.1\r\n${HOST}\r\n`, 405, 'method_not_allowed'],
	])('%s are answered by a problem, and the connection is closed', async (_name, bytes, status, code) => {
		const answer = await answerTo(bytes)
		expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} [^]*\r\ncontent-type: application/problem\\+json\r\n`, 'i'))
		const problem = JSON.parse(answer.slice(answer.indexOf('\r\n\r\n'))) as object
		expect(problem).toMatchObject({ status, code, detail: expect.stringMatching(/\.$/) })
	})

	it('close the connection when an answer has begun, because they would be taken for part of it', async () => {
		const socket = await open()
		socket.write(`GET /api/v1/streaming/plans/p/events HTTP/1.1\r\n${HOST}\r\n`)
		const [head] = (await once(socket, 'data')) as [Buffer]
		expect(String(head)).toMatch(/^HTTP\/1.1 200 /)
		socket.write('nonsense\r\n\r\n')
		expect(await text(socket)).not.toContain('HTTP/1.1')
	})
})

describe('tRPC over HTTP', () => {
	it.each([
		['calls of two kinds in one batch', '/trpc/plans.get,plans.pause?batch=1&input={}', 'GET', 400, 'bad_request'],
		['a batch without an input for its calls', '/trpc/plans.get,plans.get?batch=1&input=1', 'GET', 400, 'bad_request'],
		['a method that no procedure takes', '/trpc/plans.get', 'DELETE', 405, 'method_not_allowed'],
	])('%s are refused as JSON', async (_name, path, method, status, code) => {
		const answer = await sendRequest(server, path, { method })
		expect(answer).toMatchObject({ status, headers: { 'content-type': expect.stringMatching(/^application\/json/) } })
		expect([answer.body].flat().map((body) => getProblem({ body })?.code)).toContain(code)
	})
})

describe('a client that leaves', () => {
	it('does not count as a failure of the server when it leaves in the middle of its body', async () => {
		const socket = await open()
		socket.end(`POST /api/v1/plans HTTP/1.1\r\n${HOST}Content-Length: 100\r\n\r\n{"query"`)
		expect(await text(socket)).toMatch(/^(HTTP\/1.1 400 |$)/)
	})

	it('does not delay the shutdown when its requests wait behind a stream', async () => {
		await using stopping = await startTestServer()
		const socket = connect(stopping.port, '127.0.0.1')
		socket.write(`GET /api/v1/streaming/plans/p/events HTTP/1.1\r\n${HOST}\r\n`.repeat(2))
		await once(socket, 'data')
		await expect.poll(() => stopping.report().connections).toBeGreaterThan(0)
		socket.destroy()
		await expect.poll(() => stopping.report().connections).toBe(0)
		await stopping.close()
	})
})

describe('a request that offers HTTP/2', () => {
	const OFFER = 'Connection: close, Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n'
	const event = JSON.stringify({
		events: [{ event_id: 'e', event_type: 'step_output', step_id: 's', data: { delta: 'x'.repeat(50_000) } }],
	})
	const publish = 'POST /api/v1/streaming/plans/offered/events HTTP/1.1\r\n'

	it.each([
		['without a body', `GET /health/ready HTTP/1.1\r\n${HOST}${OFFER}\r\n`, { status: 'ready' }],
		[
			'with a body',
			`${publish}${HOST}${OFFER}Content-Length: ${event.length}\r\n\r\n${event}`,
			{ results: [{ seq: 1, duplicate: false }] },
		],
		[
			'with a body in chunks',
			`${publish}${HOST}${OFFER}Transfer-Encoding: chunked\r\n\r\n${event.length.toString(16)}\r\n${event}\r\n0\r\n\r\n`,
			{ results: [{ seq: 1, duplicate: true }] },
		],
	])('%s is answered as if it did not', async (_name, bytes, body) => {
		const answer = await answerTo(bytes)
		expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n/)
		expect(answer).toContain('Connection: close')
		expect(JSON.parse(answer.slice(answer.indexOf('\r\n\r\n')))).toMatchObject(body)
	})

	it('is refused as it would be without the offer', async () => {
		expect(await answerTo(`GET / HTTP/1.1\r\nHost: evil.example\r\n${OFFER}\r\n`)).toMatch(/^HTTP\/1\.1 403 /)
		expect(await answerTo(`GET /trpc HTTP/1.1\r\n${HOST}${OFFER}\r\n`)).toMatch(/^HTTP\/1\.1 404 /)
	})
})
