import { once } from 'node:events'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createLogger } from '../../../server/src/ops/logger.js'
import type { RunningServer } from '../../../server/src/server.js'
import { getProblem, sendRequest } from '../../support/http-request.js'
import { bearer, type KeyedServer, startKeyedServer } from '../../support/servers/keyed-server.js'
import { startTestServer } from '../../support/servers/test-server.js'

const UPGRADE =
	'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n'

const warnings: string[] = []
let open: RunningServer
let keyed: KeyedServer<'a' | 'b'>
beforeAll(async () => {
	open = await startTestServer()
	const warn = (...told: unknown[]): void => void warnings.push(String(told.at(-1)))
	const grant = { tenant: 'acme', scopes: ['plans:read'] }
	keyed = await startKeyedServer({ a: grant, b: grant }, { logger: Object.assign(createLogger('silent'), { warn }) })
})
afterAll(async () => {
	await open[Symbol.asyncDispose]()
	await keyed[Symbol.asyncDispose]()
})

/** The answer to these bytes, to its end or to the end of its head. */
async function answerTo({ port }: RunningServer, bytes: string): Promise<string> {
	const socket = connect(port, '127.0.0.1')
	await once(socket, 'connect')
	socket.write(bytes)
	if (!bytes.includes('Upgrade')) return text(socket)
	const [head] = (await once(socket, 'data')) as [Buffer]
	socket.destroy()
	return head.toString()
}

describe('a server without keys', () => {
	const crossSite = (mode: string) => ({ 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': mode })

	it.each(['no-cors', 'navigate'])(
		'refuses what a page of another site makes a browser send without an origin: %s',
		async (mode) => {
			for (const path of [
				'/api/v1/plans',
				'/api/v1/streaming/plans/p/history',
				'/trpc/plans.list',
				'/api/v1/plans/docs',
				'/health/live',
			]) {
				const answer = await sendRequest(open, path, { headers: crossSite(mode) })
				expect(answer.status).toBe(403)
				expect(getProblem(answer)).toMatchObject({ code: 'forbidden', header: 'sec-fetch-site' })
			}
		},
	)

	it('opens its pages for a link on another site, and nothing else', async () => {
		expect((await sendRequest(open, '/docs', { headers: crossSite('navigate') })).status).toBe(200)
		expect((await sendRequest(open, '/docs', { headers: crossSite('no-cors') })).status).toBe(403)
	})

	it('answers pages of this machine, whatever their port', async () => {
		for (const site of ['same-origin', 'same-site', 'none', 'cross-site']) {
			const headers = { 'sec-fetch-site': site, 'sec-fetch-mode': 'cors', origin: 'http://localhost:5173' }
			expect((await sendRequest(open, '/api/v1/plans', { headers })).status).toBe(200)
		}
		expect((await sendRequest(open, '/api/v1/plans', { headers: { host: `LOCALHOST:${open.port}` } })).status).toBe(200)
	})

	it.each([
		'Via: 1.1 proxy.example',
		'Forwarded: for=203.0.113.9',
		'X-Forwarded-For: 203.0.113.9',
		'X-Forwarded-Prefix: /planstream',
		'X-Real-IP: 203.0.113.9',
		'X-Client-IP: 203.0.113.9',
		'True-Client-IP: 203.0.113.9',
		'CF-Connecting-IP: 203.0.113.9',
	])('refuses requests that came through a proxy: %s', async (header) => {
		const head = `Host: 127.0.0.1:${open.port}\r\n${header}\r\n`
		expect(await answerTo(open, `GET / HTTP/1.1\r\n${head}Connection: close\r\n\r\n`)).toMatch(/^HTTP\/1.1 403 /)
		expect(await answerTo(open, `GET /trpc HTTP/1.1\r\n${head}${UPGRADE}\r\n`)).toMatch(/^HTTP\/1.1 403 /)
	})

	it('refuses a request line that names another host', async () => {
		const ask = (target: string) =>
			answerTo(open, `GET ${target} HTTP/1.1\r\nHost: 127.0.0.1:${open.port}\r\nConnection: close\r\n\r\n`)
		for (const target of ['http://evil.example/api/v1/plans', 'HTTP://evil.example/', 'http://169.254.169.254/'])
			expect(await ask(target)).toMatch(/^HTTP\/1.1 40[03] /)
		expect(await ask(`http://127.0.0.1:${open.port}/api/v1/plans`)).toMatch(/^HTTP\/1.1 200 /)
	})
})

describe('a server with keys', () => {
	it.each([
		['EXAMPLE.com', 'http://example.com', 200],
		['example.com:80', 'http://example.com', 200],
		['example.com:443', 'https://example.com', 200],
		['example.com:8443', 'https://example.com', 403],
		['example.com.evil.example', 'http://example.com', 403],
	])('with Host %s answers pages of %s with %i', async (host, origin, status) => {
		expect((await sendRequest(keyed, '/', { headers: { host, origin, ...bearer(keyed.keys.a) } })).status).toBe(status)
	})

	it.each(['', UPGRADE])('refuses two Authorization headers, because only one would be checked: %s', async (upgrade) => {
		const lines = [keyed.keys.a, keyed.keys.b].map((key) => `Authorization: Bearer ${key}\r\n`).join('')
		const close = upgrade === '' ? 'Connection: close\r\n' : upgrade
		const answer = await answerTo(keyed, `GET /trpc HTTP/1.1\r\nHost: localhost\r\n${lines}${close}\r\n`)
		expect(answer).toMatch(/^HTTP\/1.1 400 /)
	})

	it('never sends a key back as a subprotocol, and warns once of a client that offers nothing else', async () => {
		const ask = (path: string, offered: string) =>
			answerTo(keyed, `GET ${path} HTTP/1.1\r\nHost: localhost\r\nSec-WebSocket-Protocol: ${offered}\r\n${UPGRADE}\r\n`)
		const key = `planstream.bearer.${keyed.keys.a}`
		for (const path of ['/trpc', '/api/v1/streaming/ws/x']) {
			const alone = await ask(path, key)
			expect(alone).toMatch(/^HTTP\/1.1 101 /)
			expect(alone).not.toMatch(/sec-websocket-protocol/i)
			expect(await ask(path, `planstream-1, ${key}`)).toMatch(/\r\nsec-websocket-protocol: planstream-1\r\n/i)
		}
		expect(warnings.filter((warning) => warning.includes('only subprotocol'))).toHaveLength(1)
		expect(warnings.join()).not.toContain(keyed.keys.a)
	})
})
