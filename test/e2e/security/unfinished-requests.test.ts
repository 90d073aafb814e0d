import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { sendRequest } from '../../support/http-request.js'
import { bearer, type KeyedServer, startKeyedServer } from '../../support/servers/keyed-server.js'
import { TrpcSocketClient } from '../../support/streams/socket-client.js'

const MIB = 1024 * 1024
/** Most of what one request may have. */
const LARGE = 900_000

let server: KeyedServer<'attacker' | 'other'>
beforeAll(async () => {
	server = await startKeyedServer(
		{
			attacker: { tenant: 'acme', scopes: ['plans:read', 'events:publish'] },
			other: { tenant: 'bolt', scopes: ['plans:read', 'events:publish'] },
		},
		{ limits: { server: { answers_bytes: MIB } } },
	)
})
afterAll(() => server[Symbol.asyncDispose]())
beforeEach(untilServed)

const PATH = '/api/v1/streaming/plans/p/events'
const EVENTS = [{ event_type: 'step_progress', step_id: 's', data: { progress: 0.5 } }]

async function publish(key: 'attacker' | 'other'): Promise<number> {
	const { status } = await sendRequest(server, PATH, {
		method: 'POST',
		headers: bearer(server.keys[key]),
		body: { events: EVENTS },
	})
	return status
}

/** Waits until the tenant has nothing waiting any more. */
async function untilServed(): Promise<void> {
	await expect.poll(() => sendSlowly('attacker', 1000)).toBe('')
}

/** Sends a part of a body, and reads the head of the answer, if there is one before the other tenant was served. */
async function sendSlowly(key: 'attacker' | 'other', bytes: number, keep?: (socket: Socket) => void): Promise<string> {
	const socket = connect(server.port, '127.0.0.1').setEncoding('latin1')
	socket.on('error', () => undefined)
	await once(socket, 'connect')
	keep?.(socket)
	const head = `POST ${PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${server.keys[key]}\r\nContent-Length: ${MIB}\r\n\r\n`
	let answer = ''
	socket.on('data', (text) => {
		answer += String(text)
	})
	await new Promise((resolve) => socket.write(head + ' '.repeat(bytes), resolve))
	for (let round = 0; round < 10; round++) expect(await publish('other')).toBe(200)
	if (keep === undefined) socket.destroy()
	return answer
}

/** Bytes of a WebSocket frame with a text, masked with zeros. */
function frameText(text: string): Buffer {
	const head = Buffer.from([0x81, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
	head.writeBigUInt64BE(BigInt(text.length), 2)
	return Buffer.concat([head, Buffer.from(text)])
}

/** Connects and returns the socket under the WebSocket, to write parts of frames. */
async function openSocket(): Promise<{ client: TrpcSocketClient; raw: Socket }> {
	const client = await new TrpcSocketClient(server, '/trpc', { headers: bearer(server.keys.attacker) }).open()
	return { client, raw: (client.socket as unknown as { readonly _socket: Socket })._socket }
}

describe('bodies that have not arrived completely', () => {
	it('are refused with overloaded beyond the budget of the process, and another tenant is not', async () => {
		const open: Socket[] = []
		const keep = (socket: Socket) => void open.push(socket)
		expect(await sendSlowly('attacker', LARGE, keep)).toBe('')
		await expect
			.poll(() => sendSlowly('attacker', LARGE))
			.toMatch(/^HTTP\/1\.1 503 .*\r\nretry-after: 1\r\n.*"code":"overloaded"/s)
		for (const socket of open) socket.destroy()
	})

	it('are counted no longer when the client leaves', async () => {
		for (let round = 0; round < 3; round++) {
			await untilServed()
			expect(await sendSlowly('attacker', LARGE)).toBe('')
		}
	})
})

describe('messages of a WebSocket that have not arrived completely', () => {
	it('close it beyond the budget of the process, and another tenant is not refused', async () => {
		const [one, two] = [await openSocket(), await openSocket()]
		const half = frameText(' '.repeat(LARGE)).subarray(0, -1)
		for (const { raw } of [one, two]) raw.write(half)
		expect(await Promise.race([one.client.closed, two.client.closed])).toBe(1013)
		expect(await publish('other')).toBe(200)
		for (const { client } of [one, two]) await client[Symbol.asyncDispose]()
	})

	it('do not count once they are complete, whatever pings come between them', async () => {
		await using client = (await openSocket()).client
		const raw = (client.socket as unknown as { readonly _socket: Socket })._socket
		const call = { id: 1, method: 'query', params: { path: 'agents.list' } }
		const frame = frameText(JSON.stringify(call).padEnd(LARGE))
		for (let round = 0; round < 4; round++) {
			for (let at = 0; at < frame.length; at += 100_000) {
				await new Promise((resolve) => raw.write(frame.subarray(at, at + 100_000), resolve))
				if (at === 0) expect(await publish('other')).toBe(200)
			}
			client.socket.ping('x'.repeat(125))
			expect(await client.next()).toMatchObject({ id: 1, result: { type: 'data' } })
		}
		await untilServed()
	})
})
