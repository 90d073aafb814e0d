import { once } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, it, test } from 'vitest'
import { startSuspendedClient } from '../../support/client/suspended-client.js'
import { startSilentServer } from '../../support/servers/silent-server.js'
import { StreamServer } from '../../support/servers/stream-server.js'
import { connectPlainSocket, TrpcSocketClient } from '../../support/streams/socket-client.js'
import { sseUrl, webSocketUrl } from '../../support/streams/stream-readers.js'

const STARTED = { event_type: 'plan_started', data: { query: 'Which?', total_steps: 1 } }
const COMPLETED = { event_type: 'plan_completed', data: {} }
const EVENT = { event_type: 'error', data: { code: 'x', message: 'y' } }

/** The text of a stream until it has all of these. */
async function readUntil(body: Response['body'], ...parts: readonly string[]): Promise<string> {
	let text = ''
	if (body === null) return text
	for await (const chunk of body.pipeThrough(new TextDecoderStream())) {
		text += chunk
		if (parts.every((part) => text.includes(part))) break
	}
	return text
}

describe('a client whose process is stopped while its connection stays open', () => {
	const subscription = { id: 1, method: 'subscription', params: { path: 'plans.events', input: { plan_id: 'p' } } }

	it.each([
		['tRPC WebSocket', (url: string) => `${url.replace('http', 'ws')}/trpc`, subscription],
		['plain WebSocket', (url: string) => webSocketUrl(url, 'stopped'), { action: 'subscribe', plan_id: 'p' }],
	])(
		'is disconnected on the %s with all its resources, and a living one stays',
		{ timeout: 20_000 },
		async (_name, address, first) => {
			await using server = await StreamServer.start({ limits: { pingIntervalMs: 50, pongTimeoutMs: 1000 } })
			await server.publish('p', [STARTED])
			await using living = await connectPlainSocket(server.url, 'living?plan_id=p')
			await using _stopped = await startSuspendedClient(address(server.url), first)
			expect(server.hub.report().subscriptions).toBe(2)
			await server.until(() => server.report().map(({ client_id }) => client_id), ['living'])
			await server.until(() => server.hub.report().subscriptions, 1)
			await server.publish('p', [COMPLETED])
			await living.until(({ frame }) => frame === 'end')
			await living[Symbol.asyncDispose]()
			await server.quiet()
		},
	)
})

describe('signs of life under load', () => {
	/** Publishes for as long as something else takes. */
	async function meanwhile(server: StreamServer, other: Promise<unknown>): Promise<void> {
		let over = false
		const done = other.finally(() => {
			over = true
		})
		while (!over) {
			await server.publish('p', [EVENT])
			await turn()
		}
		await done
	}

	test('arrive over plain SSE', async () => {
		await using server = await StreamServer.start({ limits: { heartbeatMs: 20 } })
		await server.publish('p', [STARTED])
		const { body } = await fetch(sseUrl(server.url, { plan_id: 'p' }))
		const read = readUntil(body, ': heartbeat\n\n', '"seq":10,')
		await meanwhile(server, read)
		expect(await read).toContain(': heartbeat\n\n')
		await server.quiet()
	})

	test('arrive over WebSocket', async () => {
		await using server = await StreamServer.start({ limits: { pingIntervalMs: 20 } })
		await server.publish('p', [STARTED])
		await using wire = await new TrpcSocketClient(server).open()
		wire.subscribe(1, 'p')
		const pinged = once(wire.socket, 'ping').then(() => once(wire.socket, 'ping'))
		await meanwhile(server, pinged)
		expect(wire.arrived.length).toBeGreaterThan(1)
	})
})

describe("Node's fetch, which gives up a silent body,", () => {
	/** What Node has inside: the one way to say how long its `fetch` waits without another package. */
	async function impatientDispatcher(bodyTimeout: number): Promise<object> {
		await fetch('data:,')
		const current: unknown = Reflect.get(globalThis, Symbol.for('undici.globalDispatcher.1'))
		const { constructor: Agent } = current as { readonly constructor: new (options: object) => object }
		return new Agent({ bodyTimeout })
	}

	it('reads on as long as there are signs of life', { timeout: 20_000 }, async () => {
		await using server = await StreamServer.start({ limits: { heartbeatMs: 50 } })
		await using silent = await startSilentServer()
		const impatient = { dispatcher: await impatientDispatcher(500) } as RequestInit
		const { body } = await fetch(sseUrl(server.url, { plan_id: 'p' }), impatient)
		const text = readUntil(body, 'event: end')
		for (let round = 0; round < 2; round++) {
			const given = await fetch(silent.url, impatient)
			await expect(given.text()).rejects.toThrow('terminated')
		}
		await server.publish('p', [STARTED, COMPLETED])
		expect(await text).toMatch(/"seq":1,.*"seq":2,.*event: end/s)
		await server.quiet()
	})
})
