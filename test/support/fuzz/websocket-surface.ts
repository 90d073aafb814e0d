import { WebSocket } from 'ws'
import { webSocketUrl } from '../streams/stream-readers.js'
import { Examples, PROCEDURES } from './examples.js'
import { mutateBytes, mutateJson, mutateText, pick, type Random, randomBelow } from './mutate.js'
import { findProblemFault, findTrpcFault, shorten } from './response-faults.js'
import type { Surface } from './surface.js'

type Message = Readonly<Record<string, unknown>>

/** The messages of one protocol on a WebSocket. */
interface Protocol {
	readonly address: (url: string) => string
	/** A valid message. */
	readonly frame: (random: Random, examples: Examples, age: number) => Message
	/** A message that is always answered, and how to recognise the answer. */
	readonly question: (number: number) => Message
	readonly answers: (message: Message, number: number) => boolean
	readonly fault: (message: Message) => string | null
}

const trpc: Protocol = {
	address: (url) => `${url.replace('http', 'ws')}/trpc`,
	frame: (random, examples, age) => {
		const id = randomBelow(random, 20)
		const [path, { kind: method }] = pick(random, PROCEDURES)
		const call = { id, jsonrpc: '2.0', method, params: { path, input: examples.inputOf(random, path, age) } }
		return pick<Message>(random, [
			call,
			call,
			call,
			call,
			{ id, method: 'subscription.stop' },
			{ method: 'connectionParams', data: null },
		])
	},
	question: (number) => ({ id: number, method: 'query', params: { path: 'agents.list', input: {} } }),
	answers: ({ id }, number) => id === number,
	fault: (message) => (message.method === 'reconnect' ? null : findTrpcFault(message)),
}

const plain: Protocol = {
	address: (url) => `${webSocketUrl(url)}?plan_id=p`,
	frame: (random, examples, age) => {
		const { lastEventId: _none, ...input } = examples.inputOf(random, 'plans.events', age)
		const { plan_id } = input
		const subscribe = { action: 'subscribe', ...input }
		return pick<Message>(random, [subscribe, subscribe, { action: 'unsubscribe', plan_id }, { action: 'ping', timestamp: 'now' }])
	},
	question: (number) => ({ action: 'ping', timestamp: number }),
	answers: ({ event_type, data }, number) => event_type === 'pong' && (data as { timestamp: unknown }).timestamp === number,
	fault: (message) => {
		if (message.frame === 'problem') return findProblemFault(message)
		return 'frame' in message || 'event_type' in message ? null : 'neither an event nor a frame'
	},
}

/** Close codes for a frame that is too large, bytes that are not text, or three invalid frames in a row. */
const CLOSED_FOR_CAUSE = [1007, 1009, 4400]
/** The number of messages on one connection before the next is opened. */
const PROBES_PER_CONNECTION = 200

/** Sends changed frames on a WebSocket. A valid message after each must be answered. */
class SocketSurface implements Surface {
	readonly #examples = new Examples()
	readonly #protocol: Protocol
	readonly #url: string
	#socket: WebSocket | null = null
	#probes = 0

	constructor(url: string, protocol: Protocol) {
		this.#url = url
		this.#protocol = protocol
	}

	async probe(random: Random, age: number): Promise<string | null> {
		if (this.#probes++ % PROBES_PER_CONNECTION === 0) this.#socket?.terminate()
		const socket = await this.#open()
		const frame = changed(random, this.#protocol.frame(random, this.#examples, age))
		const fault = await this.#answer(socket, frame, 1_000_000 + this.#probes)
		return fault === null ? null : `${shorten(frame.toString())}: ${fault}`
	}

	/** Returns the current connection, or opens the next one. */
	async #open(): Promise<WebSocket> {
		if (this.#socket?.readyState === WebSocket.OPEN) return this.#socket
		const socket = new WebSocket(this.#protocol.address(this.#url))
		this.#socket = socket
		await new Promise((resolve, reject) => socket.once('open', resolve).on('error', reject))
		return socket
	}

	#answer(socket: WebSocket, frame: string | Buffer, number: number): Promise<string | null> {
		const { question, answers, fault } = this.#protocol
		return new Promise((resolve) => {
			const done = (found: string | null): void => {
				socket.removeAllListeners('message').removeAllListeners('close')
				resolve(found)
			}
			socket.on('message', (data: Buffer) => {
				const text = String(data)
				if (text === 'PONG' || text === 'PING') return
				const said = JSON.parse(text) as Message | readonly Message[]
				const found = [said]
					.flat()
					.map((message) => fault(message))
					.find((one) => one !== null)
				if (found !== undefined) done(found)
				else if ([said].flat().some((message) => answers(message, number))) done(null)
			})
			socket.on('close', (code) => done(CLOSED_FOR_CAUSE.includes(code) ? null : `closed with ${code}`))
			socket.send(frame)
			socket.send(JSON.stringify(question(number)))
		})
	}

	async [Symbol.asyncDispose](): Promise<void> {
		const socket = this.#socket
		if (socket === null || socket.readyState === WebSocket.CLOSED) return
		const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
		socket.terminate()
		await closed
	}
}

/** Changes the message, its text, or its bytes, and sometimes sends them as binary. */
function changed(random: Random, message: Message): string | Buffer {
	const part = random()
	if (part < 0.6) return JSON.stringify(mutateJson(random, message)) ?? ''
	if (part < 0.9) return mutateText(random, JSON.stringify(message))
	return mutateBytes(random, Buffer.from(JSON.stringify(message)))
}

const PROTOCOLS = { trpc, plain }

export const webSocketSurface =
	(protocol: keyof typeof PROTOCOLS) =>
	(url: string): Promise<Surface> =>
		Promise.resolve(new SocketSurface(url, PROTOCOLS[protocol]))
