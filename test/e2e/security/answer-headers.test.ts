import { once } from 'node:events'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createKeyAuthenticator } from '../../../server/src/auth/authenticator.js'
import { type HttpResponse, sendRequest } from '../../support/http-request.js'
import { StreamServer } from '../../support/servers/stream-server.js'

const HEADERS = {
	'content-security-policy': "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
	'cross-origin-resource-policy': 'same-origin',
	'referrer-policy': 'no-referrer',
	'x-content-type-options': 'nosniff',
	'x-request-id': expect.stringMatching(/^[\w-]{36}$/) as string,
}
const UPGRADE = 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n'

let open: StreamServer
let keyed: StreamServer
beforeAll(async () => {
	open = await StreamServer.start()
	keyed = await StreamServer.start({ authority: createKeyAuthenticator({ holders: [() => null], origins: [] }) })
	await open.publish('finished', [{ event_type: 'plan_completed', data: {} }])
})
afterAll(async () => {
	await open[Symbol.asyncDispose]()
	await keyed[Symbol.asyncDispose]()
})

function expectHeaders(path: string, { headers }: Pick<HttpResponse, 'headers'>): void {
	const isPage = ['/docs', '/openapi.json', '/asyncapi.json'].some((name) => path.startsWith(name))
	const policy = expect.stringContaining("default-src 'none'") as string
	const expected = isPage ? { ...HEADERS, 'content-security-policy': policy } : HEADERS
	expect([path, headers]).toEqual([path, expect.objectContaining(expected)])
}

/** The head of the answer to these bytes. */
async function readHead(server: StreamServer, bytes: string): Promise<Pick<HttpResponse, 'headers'>> {
	const socket = connect(server.port, '127.0.0.1')
	await once(socket, 'connect')
	socket.write(bytes)
	const [head = ''] = (await text(socket)).split('\r\n\r\n')
	const lines = head.split('\r\n').slice(1)
	return {
		headers: Object.fromEntries(
			lines.map((line) =>
				line
					.toLowerCase()
					.split(/: (.*)/)
					.slice(0, 2),
			),
		),
	}
}

describe('the security headers', () => {
	it('are on the answer of every route, with a key missing, with a wrong input, and with a result', async () => {
		const routes = open.routes.filter(({ method, path }) => method !== 'ALL' && !path.includes('*'))
		expect(routes.length).toBeGreaterThan(50)
		for (const { method, path } of routes) {
			const address = path.replaceAll(/:\w+(\{[^}]*\})?/g, 'finished')
			expectHeaders(`${address}?nobody=1`, await sendRequest(open, `${address}?nobody=1`, { method }))
			expectHeaders(address, await sendRequest(keyed, address, { method }))
		}
	})

	it.each([
		'/',
		'/health/ready',
		'/api/v1/plans',
		'/nowhere',
		'/trpc/plans.list',
		'/trpc/nowhere',
		'/trpc/plans.list,agents.list?batch=1',
		'/api/v1/streaming/plans/finished/events',
		`/trpc/plans.events?input=${encodeURIComponent('{"plan_id":"finished"}')}`,
	])('are on the answer of %s', async (path) => {
		expectHeaders(path, await sendRequest(open, path))
	})

	it.each([
		['bytes that are no request', 'nonsense\r\n\r\n'],
		['an expectation', 'GET / HTTP/1.1\r\nHost: localhost\r\nExpect: miracles\r\n\r\n'],
		['CONNECT', 'CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n'],
		['a host that is none', 'GET / HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n'],
		['an upgrade to nowhere', `GET /nowhere HTTP/1.1\r\nHost: localhost\r\n${UPGRADE}\r\n`],
		['a handshake without its key', `GET /trpc HTTP/1.1\r\nHost: localhost\r\n${UPGRADE}\r\n`],
		['an upgrade of a foreign page', `GET /trpc HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\n${UPGRADE}\r\n`],
	])('are on the answer to %s', async (_name, bytes) => {
		expectHeaders('', await readHead(open, bytes))
	})
})

it('each request gets an id of its own', async () => {
	const answers = await Promise.all([1, 2, 3].map(() => sendRequest(open, '/health/live')))
	expect(new Set(answers.map(({ headers }) => headers['x-request-id'])).size).toBe(3)
})
