import { once } from 'node:events'
import { type ClientOptions, WebSocket } from 'ws'
import { webSocketUrl } from './stream-readers.js'

/** A message of the server on tRPC's WebSocket. */
export interface TrpcMessage {
	readonly id: number | null
	readonly result?: { readonly type: string; readonly id?: string; readonly data?: unknown }
	readonly error?: { readonly data: { readonly problem: { readonly code: string; readonly detail: string } } }
}

interface SocketOptions extends ClientOptions {
	readonly protocols?: string[]
}

/** A bare WebSocket client that gives access to the messages on the wire. */
export class SocketClient<Message> implements AsyncDisposable {
	readonly socket: WebSocket
	/** Resolves with the close code. */
	readonly closed: Promise<number>
	readonly #arrived: Message[] = []
	#wake: () => void = () => undefined

	constructor(url: string, { protocols = [], ...options }: SocketOptions = {}) {
		this.socket = new WebSocket(url.replace('http', 'ws'), protocols, options)
		this.socket.on('error', () => undefined)
		this.socket.on('message', (data) => {
			this.#arrived.push(JSON.parse(String(data)) as Message)
			this.#wake()
		})
		this.closed = new Promise((resolve) => this.socket.once('close', (code) => resolve(code)))
	}

	async open(): Promise<this> {
		await once(this.socket, 'open')
		return this
	}

	/** Messages that have arrived and were not read. */
	get arrived(): readonly Message[] {
		return this.#arrived
	}

	async next(): Promise<Message> {
		for (;;) {
			const next = this.#arrived.shift()
			if (next !== undefined) return next
			await new Promise<void>((resolve) => {
				this.#wake = resolve
			})
		}
	}

	/** Reads messages up to the first that matches, including that one. */
	async until(isMeant: (message: Message) => boolean): Promise<Message[]> {
		const messages: Message[] = []
		do messages.push(await this.next())
		while (!messages.slice(-1).some(isMeant))
		return messages
	}

	send(message: unknown): void {
		this.socket.send(JSON.stringify(message))
	}

	/** Terminates the connection without a close frame. */
	async [Symbol.asyncDispose](): Promise<void> {
		this.socket.terminate()
		await this.closed
	}
}

/** A client of tRPC's WebSocket. */
export class TrpcSocketClient extends SocketClient<TrpcMessage> {
	constructor(server: { readonly url: string }, path = '/trpc', options: SocketOptions = {}) {
		super(`${server.url}${path}`, options)
	}

	subscribe(id: number, plan_id: string): void {
		this.send({ id, method: 'subscription', params: { path: 'plans.events', input: { plan_id } } })
	}
}

/** A message of the server on the plain WebSocket: an event or a control frame. */
export interface PlainMessage {
	readonly event_type?: string
	readonly frame?: string
	readonly plan_id?: string | null
	readonly seq?: number
	readonly cursor?: string
	readonly data?: Readonly<Record<string, unknown>>
	readonly [field: string]: unknown
}

/** Connects a client of the plain WebSocket and reads its welcome message. */
export async function connectPlainSocket(
	url: string,
	address = 'client_1',
	options: SocketOptions = {},
): Promise<SocketClient<PlainMessage>> {
	const client = new SocketClient<PlainMessage>(webSocketUrl(url, address), options)
	const welcome = await client.next()
	if (welcome.event_type !== 'ping') throw new Error(`The first message is no welcome: ${JSON.stringify(welcome)}`)
	return client
}
