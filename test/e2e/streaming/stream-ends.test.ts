import { connect, type Socket } from 'node:net'
import { expect, test } from 'vitest'
import { webSocketFrame } from '../../../bench/fanout/websocket-frame.js'
import { StreamServer } from '../../support/servers/stream-server.js'
import { trpcPath } from '../../support/streams/trpc-transcripts.js'

const STARTED = { event_type: 'plan_started', data: { query: 'Which?', total_steps: 1 } }
const FAILED = { event_type: 'plan_failed', data: { error: { code: 'x', message: 'x', retryable: false } } }
const RESUMED = { event_type: 'plan_resumed', data: { reason: 'retry' } }
const KEY =
	'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n'
const CLOSE = 0x88

function outputs(count: number): Record<string, unknown>[] {
	return Array.from({ length: count }, (_, index) => ({ event_type: 'step_output', step_id: 's', data: { index, delta: 'x' } }))
}

/** What comes over one wire, and how it is taken apart. */
interface WireOf {
	readonly path: string
	readonly headers?: string
	/** Said once the WebSocket is open. */
	readonly greeting?: object
	/** What a WebSocket answers as long as it is open. */
	readonly ping?: object
	/** The messages in the body of an answer. */
	readonly messages: (body: Buffer) => string[]
	/** Whether a message is the last one of its stream. */
	readonly isEnd: (message: string) => boolean
}

/** Everything that a server sent on one connection until it closed it. */
class RawReader {
	readonly #socket: Socket
	readonly #parts: Buffer[] = []
	isOver = false

	constructor(server: StreamServer, { path, headers = '', greeting }: WireOf) {
		this.#socket = connect(server.port, '127.0.0.1')
		this.#socket.on('data', (bytes) => this.#parts.push(bytes))
		this.#socket.on('close', () => {
			this.isOver = true
		})
		this.#socket.write(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n${headers}\r\n`)
		if (greeting !== undefined) this.#socket.write(webSocketFrame(JSON.stringify(greeting), 'client'))
	}

	get body(): Buffer {
		const bytes = Buffer.concat(this.#parts)
		return bytes.subarray(bytes.indexOf('\r\n\r\n') + 4)
	}

	/** Leaves, which ends the WebSocket of a server that has said it closes; asks for a sign of life once more before. */
	leave({ ping }: WireOf): void {
		if (ping !== undefined) this.#socket.write(webSocketFrame(JSON.stringify(ping), 'client'))
		this.#socket.end()
	}
}

/** The frames of a WebSocket; one that closes it is its code. */
function frames(body: Buffer): string[] {
	const found: string[] = []
	for (let at = 0; at < body.length; ) {
		const short = (body[at + 1] ?? 0) & 0x7f
		const head = short < 126 ? 2 : 4
		const length = short < 126 ? short : body.readUInt16BE(at + 2)
		const payload = body.subarray(at + head, at + head + length)
		found.push(body[at] === CLOSE ? `close ${payload.readUInt16BE(0)}` : String(payload))
		at += head + length
	}
	return found
}

/** The blocks of a stream of server-sent events, and what closes the body of the answer. */
function blocks(body: Buffer): string[] {
	const found: string[] = []
	for (let at = 0; at < body.length; ) {
		const start = body.indexOf('\r\n', at) + 2
		const length = Number.parseInt(body.toString('latin1', at, start), 16)
		const text = body.toString('utf8', start, start + length)
		found.push(...(length === 0 ? ['close'] : text.split('\n\n').filter((block) => block.trim() !== '')))
		at = start + length + 2
	}
	return found
}

const subscribed = { id: 1, method: 'subscription', params: { path: 'plans.events', input: { plan_id: 'p' } } }
const isEndFrame = (message: string): boolean => message.includes('"frame":"end"')

const WIRES: readonly (readonly [string, WireOf])[] = [
	[
		'tRPC over WebSocket',
		{
			path: '/trpc',
			headers: KEY,
			greeting: subscribed,
			ping: { id: 2, method: 'query', params: { path: 'agents.list', input: {} } },
			messages: frames,
			isEnd: (text) => text.includes('"stopped"'),
		},
	],
	['tRPC over SSE', { path: trpcPath({ plan_id: 'p' }), messages: blocks, isEnd: (text) => text.includes('event: return') }],
	[
		'plain WebSocket',
		{
			path: '/api/v1/streaming/ws/c?plan_id=p',
			headers: KEY,
			ping: { action: 'ping', timestamp: 1 },
			messages: frames,
			isEnd: isEndFrame,
		},
	],
	['plain SSE', { path: '/api/v1/streaming/plans/p/events', messages: blocks, isEnd: isEndFrame }],
]

const isClose = (message: string): boolean => message.startsWith('close')

test.each(WIRES)('over %s nothing is written after the end of a stream, although its plan continues', async (_name, wire) => {
	await using server = await StreamServer.start()
	await server.publish('p', [STARTED])
	const reader = new RawReader(server, wire)
	await server.until(() => server.watchers, 1)
	const said = () => wire.messages(reader.body)
	await server.publish('p', [...outputs(20), FAILED])
	await server.until(() => said().some(wire.isEnd), true)
	for (const event of [RESUMED, ...outputs(20)]) await server.publish('p', [event])
	server.drain()
	await server.until(() => said().some(isClose), true)
	reader.leave(wire)
	await server.until(() => reader.isOver, true)
	const last = said().slice(said().findIndex(wire.isEnd) + 1)
	expect(last).toEqual([expect.stringMatching(/^close/)])
	expect(said().filter((message) => message.includes('"event_type":"step_output"'))).toHaveLength(20)
	await server.quiet()
})

test.each(WIRES)(
	'over %s nothing is written after the end of a stopping server, in the middle of a plan',
	async (_name, wire) => {
		await using server = await StreamServer.start()
		await server.publish('p', [STARTED])
		const readers = Array.from({ length: 20 }, () => new RawReader(server, wire))
		await server.until(() => server.watchers, readers.length)
		const publishing = outputs(50).map((output) => server.publish('p', [output]))
		await publishing[10]
		server.drain()
		await Promise.all([...publishing, ...outputs(50).map((output) => server.publish('p', [output]))])
		await server.until(() => readers.every(({ body }) => wire.messages(body).some(isClose)), true)
		for (const reader of readers) reader.leave(wire)
		await server.until(() => readers.every(({ isOver }) => isOver), true)
		for (const { body } of readers) {
			const said = wire.messages(body)
			expect(said.findIndex(isEndFrame)).toBe(said.length - 2)
			expect(said.findIndex(isClose)).toBe(said.length - 1)
			expect(said.at(-2)).toContain('"reason":"draining"')
		}
		await server.quiet()
	},
)
