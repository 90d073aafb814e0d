import { SCOPES, type Scope } from '@planstream/shared/schemas'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { getProblem, sendRequest } from '../../support/http-request.js'
import { bearer, type KeyedServer, startKeyedServer } from '../../support/servers/keyed-server.js'
import { connectPlainSocket, SocketClient, TrpcSocketClient } from '../../support/streams/socket-client.js'
import { webSocketUrl } from '../../support/streams/stream-readers.js'

const EVENTS = '/api/v1/streaming/plans/p/events'
const grant = (...scopes: Scope[]) => ({ tenant: 'acme', scopes })

let server: KeyedServer<'reader' | 'publisher' | 'all'>
beforeAll(async () => {
	server = await startKeyedServer({ reader: grant('plans:read'), publisher: grant('events:publish'), all: grant(...SCOPES) })
})
afterAll(async () => {
	expect(server.report()).toMatchObject({ connections: 0, subscriptions: 0, watchers: 0 })
	await server[Symbol.asyncDispose]()
})

const publish = (key: string, plan_id: string, event_type: string) =>
	sendRequest(server, `/api/v1/streaming/plans/${plan_id}/events`, {
		method: 'POST',
		headers: bearer(key),
		body: { events: [{ event_type, data: {} }] },
	})

describe('a request', () => {
	it.each<[string, Record<string, string>]>([
		['without a key', {}],
		['with a key nobody has', bearer('psk_nobody')],
		['with another kind of credentials', { authorization: 'Basic cGxhbnM6cmVhZA==' }],
	])('%s is refused with the way to authenticate, and with nothing else', async (_how, headers) => {
		for (const path of ['/', '/nowhere', '/api/v1/plans', '/trpc/plans.list', '/trpc/plans.steal', EVENTS]) {
			const answer = await sendRequest(server, path, { headers })
			expect([answer.status, answer.headers['www-authenticate']]).toEqual([401, 'Bearer'])
			expect(getProblem(answer)).toMatchObject({ code: 'unauthorized', detail: expect.stringMatching(/Send/) as string })
		}
	})

	it('needs no key for health and for a CORS preflight', async () => {
		for (const path of ['/health/live', '/health/ready']) expect((await sendRequest(server, path)).status).toBe(200)
		const preflight = {
			origin: 'http://localhost:5173',
			'access-control-request-method': 'GET',
			'access-control-request-headers': 'authorization',
		}
		const answer = await sendRequest(server, '/api/v1/plans', { method: 'OPTIONS', headers: preflight })
		expect(answer).toMatchObject({ status: 204, headers: { 'access-control-allow-headers': 'authorization' } })
	})

	it('is never authenticated by its query', async () => {
		for (const name of ['token', 'access_token', 'key', 'authorization', 'connectionParams']) {
			const value = name === 'connectionParams' ? JSON.stringify({ token: server.keys.all }) : server.keys.all
			for (const path of ['/api/v1/plans', '/trpc/plans.list', EVENTS]) {
				const answer = await sendRequest(server, `${path}?${new URLSearchParams({ [name]: value })}`)
				expect(answer.status).toBe(401)
				expect(answer.text).not.toContain(server.keys.all)
			}
		}
	})

	it('is accepted for any host and through proxies, from known pages only', async () => {
		const headers = { host: 'plans.example.com', forwarded: 'for=203.0.113.9', ...bearer(server.keys.all) }
		expect((await sendRequest(server, '/', { headers })).status).toBe(200)
		expect((await sendRequest(server, '/', { headers: { ...headers, origin: 'https://plans.example.com' } })).status).toBe(200)
		const foreign = await sendRequest(server, '/', { headers: { ...headers, origin: 'https://evil.example' } })
		expect(foreign).toMatchObject({ status: 403, body: { code: 'forbidden', header: 'origin' } })
		expect(foreign.headers['access-control-allow-origin']).toBe('https://evil.example')
	})

	it('records its key in the events it causes', async () => {
		expect((await publish(server.keys.publisher, 'signed', 'plan_completed')).status).toBe(200)
		const { text } = await sendRequest(server, '/api/v1/streaming/plans/signed/events', { headers: bearer(server.keys.reader) })
		expect(text).toContain('"actor":{"type":"api_key","id":"publisher"}')
	})
})

describe('a WebSocket', () => {
	const call = { id: 1, method: 'query', params: { path: 'agents.list', input: {} } }
	const say = (wire: TrpcSocketClient, message: unknown) => wire.socket.send(JSON.stringify(message))

	it('is authenticated by its header, its subprotocol or its first message', async () => {
		await using byHeader = await new TrpcSocketClient(server, '/trpc', { headers: bearer(server.keys.reader) }).open()
		const protocols = ['planstream-1', `planstream.bearer.${server.keys.reader}`]
		await using byProtocol = await new TrpcSocketClient(server, '/trpc', { protocols }).open()
		await using byMessage = await new TrpcSocketClient(server, '/trpc?connectionParams=1').open()
		say(byMessage, { method: 'connectionParams', data: { token: server.keys.reader } })
		expect(byProtocol.socket.protocol).toBe('planstream-1')
		for (const wire of [byHeader, byProtocol, byMessage]) {
			say(wire, call)
			expect(await wire.next()).toMatchObject({ id: 1, result: { type: 'data' } })
		}
	})

	it.each<[string, string, ConstructorParameters<typeof TrpcSocketClient>[2], unknown]>([
		['without a key', '/trpc', {}, undefined],
		['with a wrong key in its header', '/trpc', { headers: bearer('psk_nobody') }, undefined],
		['with a wrong key in its subprotocol', '/trpc', { protocols: ['planstream-1', 'planstream.bearer.psk_nobody'] }, undefined],
		['with a wrong key in its first message', '/trpc?connectionParams=1', {}, { data: { token: 'psk_nobody' } }],
		['with no key in its first message', '/trpc?connectionParams=1', {}, { data: null }],
		['with a call as its first message', '/trpc?connectionParams=1', {}, { ...call, data: {} }],
	])('%s is refused with the reason and closed with 4401', async (_how, path, options, first) => {
		await using wire = await new TrpcSocketClient(server, path, options).open()
		if (first !== undefined) say(wire, first)
		expect(await wire.next()).toMatchObject({ id: null, error: { data: { problem: { code: 'unauthorized' } } } })
		expect(await wire.closed).toBe(4401)
	})

	it('is authenticated and refused alike on the plain transport', async () => {
		const url = webSocketUrl(server.url, 'me')
		const protocols = (key: string) => ['planstream-1', `planstream.bearer.${key}`]
		for (const options of [{ headers: bearer(server.keys.reader) }, { protocols: protocols(server.keys.reader) }]) {
			await using client = new SocketClient<object>(url, options)
			expect(await client.next()).toMatchObject({ event_type: 'ping' })
		}
		for (const options of [{}, { protocols: protocols('psk_nobody') }]) {
			await using client = new SocketClient<object>(url, options)
			expect(await client.next()).toMatchObject({ frame: 'problem', code: 'unauthorized' })
			expect(await client.closed).toBe(4401)
		}
		await using publisher = await connectPlainSocket(server.url, 'me?plan_id=p', { headers: bearer(server.keys.publisher) })
		expect(await publisher.next()).toMatchObject({ frame: 'problem', code: 'forbidden', scope: 'plans:read' })
	})

	it('is limited to the scopes of its key at each call', async () => {
		await using wire = await new TrpcSocketClient(server, '/trpc', { headers: bearer(server.keys.publisher) }).open()
		wire.subscribe(1, 'p')
		say(wire, { ...call, id: 2 })
		for (const id of [1, 2]) {
			const problem = { code: 'forbidden', scope: 'plans:read' }
			expect(await wire.next()).toMatchObject({ id, error: { data: { problem } } })
		}
	})
})

describe('the revocation of a key', () => {
	it('ends a long poll at once', async () => {
		await using keyed = await startKeyedServer({ mine: grant('plans:read') })
		const path = '/api/v1/streaming/plans/p/history?wait_ms=30000'
		const polled = sendRequest(keyed, path, { headers: bearer(keyed.keys.mine) })
		await expect.poll(() => keyed.report().watchers, { timeout: 10_000 }).toBe(1)
		await keyed.revoke('mine')
		expect(await polled).toMatchObject({ status: 200, body: { event_count: 0 } })
	})

	it('ends the streams of the key on every transport, with resume, and no others', async () => {
		await using keyed = await startKeyedServer({ mine: grant('plans:read', 'events:publish'), other: grant('plans:read') })
		const headers = bearer(keyed.keys.mine)
		await keyed.hub.publish(
			{ tenant: 'acme', actor: { type: 'user', id: 'x' }, scopes: new Set() },
			{ plan_id: 'p', sent: [{}], events: [{ event_type: 'plan_started', data: { query: 'q' } }] as never },
		)
		const input = encodeURIComponent(JSON.stringify({ plan_id: 'p' }))
		const streams = [EVENTS, `/trpc/plans.events?input=${input}`].map((path) => sendRequest(keyed, path, { headers }))
		await using wire = await new TrpcSocketClient(keyed, '/trpc', { headers }).open()
		await using plain = await connectPlainSocket(keyed.url, 'mine?plan_id=p', { headers })
		await using idle = await new TrpcSocketClient(keyed, '/trpc', { headers }).open()
		await using witness = await new TrpcSocketClient(keyed, '/trpc', { headers: bearer(keyed.keys.other) }).open()
		for (const each of [wire, witness]) each.subscribe(1, 'p')
		await expect.poll(() => keyed.report().watchers, { timeout: 10_000 }).toBe(5)
		await keyed.revoke('mine')

		const end = { frame: 'end', reason: 'auth_expired', resume: true }
		const texts = (await Promise.all(streams)).map(({ text }) => text)
		for (const text of texts) expect(text).toContain('"reason":"auth_expired","final_seq":1,"resume":true')
		expect(texts[1]).not.toContain('event: return')
		expect(await Promise.all([wire.closed, plain.closed, idle.closed])).toEqual([4301, 4301, 4301])
		expect(plain.arrived.at(-1)).toMatchObject(end)
		expect(wire.arrived.at(-1)).toMatchObject({ id: 1, result: { type: 'data', data: { data: end } } })
		expect((await sendRequest(keyed, EVENTS, { headers })).status).toBe(401)
		expect(witness.socket.readyState).toBe(witness.socket.OPEN)
		expect(keyed.report().watchers).toBe(1)
	})
})
