import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { createGunzip } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { incompressibleText } from '../../support/incompressible-text.js'
import { StreamServer } from '../../support/servers/stream-server.js'

const STARTED = { event_type: 'plan_started', data: { query: 'Which?', total_steps: 1 } }
const COMPLETED = { event_type: 'plan_completed', data: { result: null } }
const output = (index: number, delta: string) => ({ event_type: 'step_output', step_id: 's', data: { index, delta } })
/** The server needs no memory for a connection that rests: what it compresses with serves all, and what it hears refers to nothing. */
const WITHOUT_WINDOWS = 'permessage-deflate; client_no_context_takeover; server_max_window_bits=12'
const LARGE = 'large '.repeat(2000)

async function openSse(server: StreamServer, encoding: string): Promise<IncomingMessage> {
	const headers = { 'accept-encoding': encoding }
	const [incoming] = (await once(request(`${server.url}/api/v1/streaming/plans/p/events`, { headers }).end(), 'response')) as [
		IncomingMessage,
	]
	return incoming
}

/** What a reader of SSE has unpacked, as it comes. */
class Unpacked {
	text = ''
	readonly #incoming: IncomingMessage
	bytes = 0

	constructor(incoming: IncomingMessage) {
		this.#incoming = incoming
		incoming.on('data', (chunk: Buffer) => {
			this.bytes += chunk.length
		})
		incoming.pipe(createGunzip()).on('data', (chunk: Buffer) => {
			this.text += chunk.toString()
		})
	}

	async until(part: string): Promise<void> {
		await expect.poll(() => this.text).toContain(part)
	}

	async over(): Promise<void> {
		if (!this.#incoming.readableEnded) await once(this.#incoming, 'end')
	}
}

/** The data of the events in a stream. */
function eventsIn(text: string): string[] {
	return [...text.matchAll(/^id: [^\n]+\ndata: (.*)$/gm)].map(([, data = '']) => data)
}

describe('compressed streams', () => {
	it('carry the same server-sent events, each at once, in fewer bytes when the client asks for gzip', async () => {
		await using server = await StreamServer.start({ limits: { compression: true } })
		await server.publish('p', [STARTED])
		const incoming = await openSse(server, 'gzip')
		expect(incoming.headers).toMatchObject({ 'content-encoding': 'gzip', vary: expect.stringContaining('accept-encoding') })
		const reader = new Unpacked(incoming)
		await reader.until('"plan_started"')
		await server.publish('p', [output(0, LARGE)])
		await reader.until(LARGE)
		await server.publish('p', [COMPLETED])
		await reader.over()
		await reader.until('event: end')
		expect(eventsIn(reader.text).filter((data) => data.startsWith('{"seq"'))).toEqual(await server.texts('p'))
		expect(reader.bytes).toBeLessThan(reader.text.length / 4)
		await server.quiet()
	})

	it('are cut when their reader stops reading', async () => {
		await using server = await StreamServer.start({ limits: { compression: true, stallTimeoutMs: 300 } })
		await server.publish('p', [STARTED])
		const incoming = await openSse(server, 'gzip')
		incoming.on('error', () => undefined)
		const outputs = (round: number) =>
			Array.from({ length: 16 }, (_, index) => output(index, incompressibleText(round * 16 + index, 60_000)))
		for (let round = 0; round < 20; round++) await server.publish('p', outputs(round))
		await server.until(() => server.deliveries.report().slow, 1)
		await server.quiet()
	})

	it('are sent uncompressed when the client does not ask for gzip', async () => {
		await using server = await StreamServer.start({ limits: { compression: true } })
		await server.publish('p', [STARTED, COMPLETED])
		const incoming = await openSse(server, 'identity')
		expect(incoming.headers['content-encoding']).toBeUndefined()
		incoming.resume()
		await once(incoming, 'end')
		await server.quiet()
	})

	it.each([true, false])(
		'carry every message whole on a WebSocket that offers permessage-deflate: %s',
		async (perMessageDeflate) => {
			await using server = await StreamServer.start({ limits: { compression: true } })
			const address = `${server.url.replace('http', 'ws')}/api/v1/streaming/ws/c?plan_id=p`
			const socket = new WebSocket(address, { perMessageDeflate })
			const texts: string[] = []
			socket.on('message', (data: Buffer) => texts.push(data.toString()))
			const [{ headers }] = (await once(socket, 'upgrade')) as [IncomingMessage]
			expect(headers['sec-websocket-extensions']).toBe(perMessageDeflate ? WITHOUT_WINDOWS : undefined)
			await server.publish('p', [STARTED, output(0, LARGE)])
			await server.publish('p', [output(1, 'small'), COMPLETED])
			await expect.poll(() => texts.at(-1)).toContain('"frame":"end"')
			expect(texts.filter((text) => text.startsWith('{"seq"'))).toEqual(await server.texts('p'))
			socket.close()
			await once(socket, 'close')
			await server.quiet()
		},
	)
})

it('are off by default', async () => {
	await using server = await StreamServer.start()
	await server.publish('p', [STARTED, COMPLETED])
	const incoming = await openSse(server, 'gzip')
	expect(incoming.headers['content-encoding']).toBeUndefined()
	incoming.resume()
	await once(incoming, 'end')
	for (const path of ['/trpc', '/api/v1/streaming/ws/c']) {
		const socket = new WebSocket(server.url.replace('http', 'ws') + path)
		await once(socket, 'open')
		expect(socket.extensions).toBe('')
		socket.close()
		await once(socket, 'close')
	}
	await server.quiet()
})
