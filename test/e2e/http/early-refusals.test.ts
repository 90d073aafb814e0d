import { once } from 'node:events'
import { request } from 'node:http'
import { connect, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createKeyAuthenticator } from '../../../server/src/auth/authenticator.js'
import { getProblem } from '../../support/http-request.js'
import { bearer, type KeyedServer, startKeyedServer } from '../../support/servers/keyed-server.js'
import { StreamServer } from '../../support/servers/stream-server.js'

const IMPORT = '/api/v1/admin/import'
const PUBLISH = '/api/v1/streaming/plans/p/events'

let server: KeyedServer<'reader' | 'owner'>
beforeAll(async () => {
	server = await startKeyedServer({
		reader: { tenant: 'acme', scopes: ['plans:read'] },
		owner: { tenant: 'acme', scopes: ['plans:read', 'plans:write', 'events:publish', 'admin'] },
	})
})
afterAll(() => server[Symbol.asyncDispose]())

async function open({ port }: { readonly port: number }, bytes: string): Promise<Socket> {
	const socket = connect(port, '127.0.0.1')
	socket.on('error', () => undefined)
	await once(socket, 'connect')
	socket.write(bytes)
	return socket
}

interface Announced {
	readonly method?: string
	readonly key?: string
	readonly length?: number
	readonly more?: string
}

/** Sends headers that announce a body, and none of it, then reads the head and the body of the answer. */
async function announce(
	target: { readonly port: number },
	path: string,
	{ method = 'POST', key, length = 1_000_000, more = '' }: Announced = {},
) {
	const authorization = key === undefined ? '' : `Authorization: Bearer ${key}\r\n`
	const socket = await open(
		target,
		`${method} ${path} HTTP/1.1\r\nHost: localhost\r\n${authorization}${more}Content-Length: ${length}\r\n\r\n`,
	)
	let answer = ''
	for await (const chunk of socket.setEncoding('utf8')) {
		answer += chunk
		const [head = '', body = ''] = answer.split('\r\n\r\n')
		const size = Number(/^content-length: (\d+)$/im.exec(head)?.[1] ?? Number.NaN)
		if (Buffer.byteLength(body) === size) break
	}
	socket.destroy()
	const [head = '', body = ''] = answer.split('\r\n\r\n')
	return {
		status: Number(/^HTTP\/1\.1 (\d+)/.exec(head)?.[1]),
		closes: /^connection: close$/im.test(head),
		problem: getProblem({ body: JSON.parse(body) as unknown }),
	}
}

describe('a request that is refused before its body arrives', () => {
	it.each([
		['without a key', PUBLISH, {}, 401, 'unauthorized'],
		['with a wrong key', PUBLISH, { key: 'psk_wrong' }, 401, 'unauthorized'],
		['without the scope of a route', PUBLISH, { key: 'reader' }, 403, 'forbidden'],
		['without the scope of a command', '/api/v1/plans', { key: 'reader' }, 403, 'forbidden'],
		['without the scope of a procedure', '/trpc/plans.create', { key: 'reader' }, 403, 'forbidden'],
		['without the scope of an import', IMPORT, { key: 'reader' }, 403, 'forbidden'],
		['for an address that does not exist', '/nowhere', { key: 'owner' }, 404, 'not_found'],
		['for a procedure that does not exist', '/trpc/plans.steal', { key: 'owner' }, 404, 'not_found'],
		['with a method that is not taken', PUBLISH, { key: 'owner', method: 'PUT' }, 405, 'method_not_allowed'],
		['with a length beyond the limit', PUBLISH, { key: 'owner', length: 2_000_000 }, 413, 'too_large'],
		['with an encoding that is not taken', PUBLISH, { key: 'owner', more: 'Content-Encoding: br\r\n' }, 400, 'bad_request'],
		['with a query that is not taken', `${PUBLISH}?nobody=1`, { key: 'owner' }, 400, 'bad_request'],
		['from a foreign page', PUBLISH, { key: 'owner', more: 'Origin: https://evil.example\r\n' }, 403, 'forbidden'],
	] as const)('%s', async (_when, path, { key, ...sent }: Announced, status, code) => {
		const name = key as keyof typeof server.keys | undefined
		const token = name === undefined ? undefined : (server.keys[name] ?? name)
		const answer = await announce(server, path, { ...sent, ...(token !== undefined && { key: token }) })
		expect(answer).toMatchObject({ status, closes: true, problem: { code } })
	})

	it('gets an answer for each call when it is a batch without an allowed call', async () => {
		const response = await fetch(`${server.url}/trpc/plans.create,plans.pause?batch=1`, {
			method: 'POST',
			headers: { ...bearer(server.keys.reader), 'content-type': 'application/json' },
			body: '{}',
		})
		const answers = (await response.json()) as unknown[]
		expect([response.status, ...answers.map((body) => getProblem({ body })?.code)]).toEqual([403, 'forbidden', 'forbidden'])
	})

	it('gets no 100 Continue when it waits for one', async () => {
		const headers = { expect: '100-continue', 'content-length': 1_000_000 }
		const event = { event_id: 'e', event_type: 'step_started', step_id: 's', data: { name: 's' } }
		const asked: string[] = []
		const send = (key: string) =>
			new Promise<number>((resolve) => {
				const outgoing = request(server.url, { path: PUBLISH, method: 'POST', headers: { ...headers, ...bearer(key) } })
				outgoing.on('error', () => undefined)
				outgoing.on('continue', () => {
					asked.push(key)
					outgoing.end(JSON.stringify({ events: [event] }).padEnd(1_000_000))
				})
				outgoing.on('response', (incoming) => {
					resolve(incoming.statusCode ?? 0)
					outgoing.destroy()
				})
				outgoing.flushHeaders()
			})
		expect([await send(server.keys.reader), await send(server.keys.owner)]).toEqual([403, 200])
		expect(asked).toEqual([server.keys.owner])
	})
})

describe('the answer to a refused request', () => {
	const body = 'x'.repeat(2_000_000)

	it.each([
		['without the scope', 100, PUBLISH, 'reader', 403],
		['at an address that does not exist', 20, '/nowhere', 'owner', 404],
		['without the scope of an import', 20, IMPORT, 'reader', 403],
		['as an archive that is none', 20, IMPORT, 'owner', 400],
		['without the scope of a procedure', 20, '/trpc/plans.create', 'reader', 403],
		['with a body beyond the limit', 20, PUBLISH, 'owner', 413],
	] as const)('arrives each time with a body of 2 MB: %s', async (_when, times, path, name, status) => {
		const statuses = new Set<number>()
		for (let turn = 0; turn < times; turn++) {
			const headers = { ...bearer(server.keys[name]), 'content-type': 'application/json' }
			const response = await fetch(`${server.url}${path}`, {
				method: 'POST',
				headers,
				body: path === IMPORT ? `x\n${body}` : body,
			})
			statuses.add(response.status)
			expect(await response.json()).toBeTypeOf('object')
		}
		expect([...statuses]).toEqual([status])
	})

	it('arrives when the body comes in chunks without a length', async () => {
		const chunks = async function* () {
			for (let index = 0; index < 32; index++) yield Buffer.alloc(64 * 1024, 'x')
		}
		for (let turn = 0; turn < 20; turn++) {
			const init = { method: 'POST', headers: bearer(server.keys.owner), body: chunks(), duplex: 'half' }
			const response = await fetch(`${server.url}${PUBLISH}`, init as unknown as RequestInit)
			expect([response.status, await response.json()]).toMatchObject([413, { code: 'too_large' }])
		}
	})

	it('arrives when a client sends its whole body before it reads, and the connection ends in order', async () => {
		const length = 1024 * 1024
		const head = `POST ${PUBLISH} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${server.keys.reader}\r\n`
		const socket = await open(server, `${head}Content-Length: ${length}\r\n\r\n`)
		await new Promise((resolve) => socket.write('x'.repeat(length), resolve))
		expect(await text(socket)).toMatch(/^HTTP\/1\.1 403 .*"code":"forbidden"/s)
	})

	it('arrives on the same connection as the next request when the body was already there', async () => {
		const refused = `POST ${PUBLISH} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${server.keys.reader}\r\nContent-Length: 2\r\n\r\n{}`
		const socket = await open(server, `${refused}GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`)
		expect(await text(socket)).toMatch(/^HTTP\/1\.1 403 .*HTTP\/1\.1 200 /s)
	})
})

/** Time of a server that passes only when a test says so. */
class Time {
	now = 0
	readonly timers = new Set<{ readonly at: number; readonly run: () => void }>()

	readonly bodies = {
		clock: () => this.now,
		schedule: (run: () => void, delayMs: number): Disposable => {
			const timer = { at: this.now + delayMs, run }
			this.timers.add(timer)
			return { [Symbol.dispose]: () => void this.timers.delete(timer) }
		},
	}

	pass(ms: number): void {
		this.now += ms
		for (const timer of this.timers) {
			if (timer.at > this.now) continue
			this.timers.delete(timer)
			timer.run()
		}
	}
}

describe('a body that arrives too slowly', () => {
	const authority = createKeyAuthenticator({
		holders: [
			() => ({
				tenant: 't',
				actor: { type: 'api_key', id: 'x' },
				scopes: new Set(['plans:read', 'plans:write', 'events:publish', 'admin'] as const),
			}),
		],
		origins: [],
	})
	const start = async () => {
		const time = new Time()
		return { time, slow: await StreamServer.start({ authority, bodies: time.bodies }) }
	}
	const ask = (path: string) => `POST ${path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer x\r\n`

	it.each([PUBLISH, '/trpc/plans.create', IMPORT])('is refused after 30 seconds and its connection closed: %s', async (path) => {
		const { time, slow } = await start()
		await using _server = slow
		const socket = await open(slow, `${ask(path)}Content-Length: 1000\r\n\r\n{`)
		await slow.until(() => time.timers.size, 1)
		time.pass(29_999)
		expect(time.timers.size).toBe(1)
		time.pass(1)
		const [answer] = (await once(socket, 'data')) as [Buffer]
		expect(String(answer)).toMatch(/^HTTP\/1\.1 408 .*connection: close/is)
		await slow.until(() => time.timers.size, 1)
		time.pass(2000)
		await once(socket, 'close')
		expect(time.timers.size).toBe(0)
		await slow.quiet()
	})

	it('may take longer in total when it is an archive and brings 1 KiB a second', async () => {
		const { time, slow } = await start()
		await using _server = slow
		const socket = await open(slow, `${ask(IMPORT)}Transfer-Encoding: chunked\r\n\r\n`)
		const line = `2000\r\n${' '.repeat(8192)}\r\n`
		for (let turn = 1; turn <= 20; turn++) {
			await slow.until(() => time.timers.size, 1)
			const [timer] = time.timers
			time.pass(8000)
			socket.write(line)
			await slow.until(() => time.timers.size === 1 && !time.timers.has(timer as never), true)
		}
		expect(time.now).toBe(160_000)
		time.pass(29_999)
		expect(time.timers.size).toBe(1)
		time.pass(1)
		const [answer] = (await once(socket, 'data')) as [Buffer]
		expect(String(answer)).toMatch(/^HTTP\/1\.1 408 .*"code":"request_timeout"/s)
		socket.destroy()
	})

	it('leaves no timer behind when it arrives in time', async () => {
		const { time, slow } = await start()
		await using _server = slow
		const socket = await open(slow, `${ask(PUBLISH)}Content-Length: 13\r\n\r\n`)
		await slow.until(() => time.timers.size, 1)
		socket.write('{"events":[]}')
		const [answer] = (await once(socket, 'data')) as [Buffer]
		expect(String(answer)).toMatch(/^HTTP\/1\.1 400 /)
		expect(time.timers.size).toBe(0)
		socket.destroy()
	})
})
