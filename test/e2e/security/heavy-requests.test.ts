import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { getProblem, sendRequest } from '../../support/http-request.js'
import { bearer, type KeyedServer, startKeyedServer } from '../../support/servers/keyed-server.js'

const MIB = 1024 * 1024
const EXPORT = '/api/v1/admin/plans/p/export'
const IMPORT = '/api/v1/admin/import'
/** Exports of a tenant at one time. */
const MAX_EXPORTS = 4

let server: KeyedServer<'attacker' | 'other' | 'operator'>
beforeAll(async () => {
	const scopes = ['plans:read', 'events:publish', 'admin'] as const
	server = await startKeyedServer(
		{
			attacker: { tenant: 'acme', scopes },
			other: { tenant: 'bolt', scopes },
			operator: { tenant: 'acme', scopes: [...scopes, 'operator'] },
		},
		{ limits: { default: { state_bytes: MIB } } },
	)
	await publish('other', 1)
	// More than two sockets buffer.
	for (let round = 0; round < 12; round++) await publish('attacker', 15)
})
afterAll(() => server[Symbol.asyncDispose]())

async function publish(key: 'attacker' | 'other', count: number): Promise<void> {
	const event = { event_type: 'step_output', step_id: 's', data: { channel: 'text', index: 0, delta: 'd'.repeat(60_000) } }
	const body = { events: Array.from({ length: count }, () => event) }
	const path = '/api/v1/streaming/plans/p/events'
	expect((await sendRequest(server, path, { method: 'POST', headers: bearer(server.keys[key]), body })).status).toBe(200)
}

const exportAs = (key: 'attacker' | 'other', method = 'GET') =>
	sendRequest(server, EXPORT, { method, headers: bearer(server.keys[key]) })

/** Begins an export and reads no more than its head. */
async function openExport(): Promise<Socket> {
	const socket = connect(server.port, '127.0.0.1')
	socket.on('error', () => undefined)
	socket.write(`GET ${EXPORT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${server.keys.attacker}\r\n\r\n`)
	const [head] = (await once(socket, 'data')) as [Buffer]
	socket.pause()
	expect(head.toString('latin1', 0, 12)).toBe('HTTP/1.1 200')
	return socket
}

describe('exports', () => {
	it(`of one tenant are ${MAX_EXPORTS} at one time, and another one has its own`, async () => {
		const open: Socket[] = []
		for (let count = 0; count < MAX_EXPORTS; count++) open.push(await openExport())
		for (const method of ['GET', 'HEAD']) expect((await exportAs('attacker', method)).status).toBe(429)
		const refused = await exportAs('attacker')
		expect(refused.headers['retry-after']).toBe('1')
		expect(getProblem(refused)).toMatchObject({ code: 'rate_limited', limit: 'exports' })
		expect((await exportAs('other')).status).toBe(200)
		open.pop()?.destroy()
		await expect.poll(async () => (await exportAs('attacker')).status).toBe(200)
		for (const socket of open) socket.destroy()
	})

	it('leave their places when they end, are refused, or have no body', async () => {
		const none = { headers: bearer(server.keys.other) }
		for (let round = 0; round < MAX_EXPORTS + 1; round++) {
			expect((await exportAs('other', 'HEAD')).status).toBe(200)
			expect((await sendRequest(server, EXPORT.replace('/p/', '/none/'), none)).status).toBe(404)
			expect((await exportAs('other')).status).toBe(200)
		}
	})
})

describe('the first line of an import', () => {
	it.each([
		['bytes', `{"x":"${'x'.repeat(5 * MIB)}"}\n`, 4 * MIB],
		['values', `{"x":[${'[],'.repeat(MIB)}1]}\n`, MIB],
	])('has no more %s than the state of a plan needs, unless the key has the scope operator', async (_what, body, limit) => {
		const send = (key: string) => sendRequest(server, IMPORT, { method: 'POST', headers: bearer(key), body })
		expect(getProblem(await send(server.keys.attacker))).toMatchObject({ code: 'too_large', limit, line: 1 })
		expect(getProblem(await send(server.keys.operator))).toMatchObject({ code: 'bad_request', line: 1 })
	})
})
