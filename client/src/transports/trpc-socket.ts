import type { PlanstreamError } from '@planstream/shared'
import { ForeignAnswer, readCloseError, readTrpcError } from '../problem.js'
import type { Clock } from '../timing.js'
import { createTokenError, type TokenSource } from '../token.js'
import { ConnectionLost, TransportUnusable } from './transport.js'

/** The part of a WebSocket that the client uses; the browser's and the one of the package `ws` both fit. */
export interface WebSocketLike {
	readonly readyState: number
	send(text: string): void
	close(code?: number, reason?: string): void
	addEventListener(type: 'open' | 'error', listener: () => void): void
	addEventListener(type: 'message', listener: (event: { readonly data: unknown }) => void): void
	addEventListener(type: 'close', listener: (event: { readonly code: number; readonly reason: string }) => void): void
}

export type WebSocketConstructor = new (url: string) => WebSocketLike

/** The params of a subscription in tRPC's WebSocket protocol. */
export interface SubscriptionParams {
	readonly path: string
	readonly input: object
	readonly lastEventId?: string
}

/** The callbacks of one subscription; none follows `onStopped` or `onFailed`. */
export interface Receiver {
	onStarted(): void
	/** @param size - length of the message's text */
	onData(item: unknown, id: string | null, size: number): void
	onStopped(): void
	onFailed(error: PlanstreamError | ConnectionLost): void
}

export interface TrpcSocketOptions {
	readonly url: string
	readonly token: TokenSource | null
	readonly WebSocket: WebSocketConstructor
	readonly clock: Clock
	readonly heartbeatMs: number
}

const OPEN = 1

/** After a silence of this many heartbeats the connection counts as lost. */
export const SILENT_HEARTBEATS = 2.5

/**
 * One WebSocket that speaks tRPC's protocol for any number of subscriptions. It opens as soon as it has its token, and closes for good
 * when its last subscription has ended.
 */
export class TrpcSocket {
	#socket: WebSocketLike | null = null
	readonly #clock: Clock
	readonly #heartbeatMs: number
	readonly #url: string
	readonly #receivers = new Map<number, Receiver>()
	readonly #unsent: string[] = []
	#lastId = 0
	#lastHeard: number
	#stopListening: () => void
	#usable = true

	/** @throws ConnectionLost */
	constructor({ url, token, WebSocket, clock, heartbeatMs }: TrpcSocketOptions) {
		this.#clock = clock
		this.#heartbeatMs = heartbeatMs
		this.#url = url
		this.#lastHeard = clock.now()
		if (token === null) this.#open(createWebSocket(WebSocket, url))
		else {
			const ask = token.ask().catch((thrown: unknown) => Promise.reject(createTokenError(thrown)))
			ask
				.then((key) => this.#usable && this.#openWith(createWebSocket(WebSocket, `${url}?connectionParams=1`), key))
				.catch((error: PlanstreamError | ConnectionLost) => this.#end(error))
		}
		this.#stopListening = clock.after(heartbeatMs, () => this.#watch())
	}

	/** Whether this socket accepts new subscriptions. */
	get usable(): boolean {
		return this.#usable
	}

	/** Adds a subscription; the returned function ends it. */
	subscribe(params: SubscriptionParams, receiver: Receiver): () => void {
		const id = ++this.#lastId
		this.#receivers.set(id, receiver)
		this.#send(JSON.stringify({ id, jsonrpc: '2.0', method: 'subscription', params }))
		return () => {
			if (!this.#receivers.delete(id)) return
			this.#send(JSON.stringify({ id, jsonrpc: '2.0', method: 'subscription.stop' }))
			this.#closeWhenIdle()
		}
	}

	/** Opens the socket and sends the token before everything else. */
	#openWith(socket: WebSocketLike, token: string): void {
		this.#unsent.unshift(JSON.stringify({ method: 'connectionParams', data: { token } }))
		this.#open(socket)
	}

	#open(socket: WebSocketLike): void {
		this.#socket = socket
		socket.addEventListener('open', () => this.#handleOpen(socket))
		socket.addEventListener('message', ({ data }) => this.#handleMessage(data))
		socket.addEventListener('error', () => {}) // a close event with the reason follows
		socket.addEventListener('close', ({ code, reason }) => this.#end(readCloseError(code, reason)))
	}

	#send(text: string): void {
		if (this.#socket?.readyState === OPEN) this.#socket.send(text)
		else this.#unsent.push(text)
	}

	#handleOpen(socket: WebSocketLike): void {
		this.#lastHeard = this.#clock.now()
		for (const text of this.#unsent.splice(0)) socket.send(text)
	}

	#handleMessage(data: unknown): void {
		this.#lastHeard = this.#clock.now()
		if (data === 'PONG') return
		if (data === 'PING') this.#send('PONG')
		else if (typeof data === 'string') this.#read(data)
		else this.#refuse('a binary message')
	}

	#read(text: string): void {
		let message: Message | null
		try {
			message = JSON.parse(text)
		} catch (cause) {
			this.#refuse('a message that is not JSON', cause)
			return
		}
		const { id, method, error } = message ?? {}
		if (method === 'reconnect') this.#end(new ConnectionLost('The server asked to reconnect.'))
		else if (id === null && error !== undefined) this.#end(readTrpcError(error))
		else if (typeof id === 'number') this.#dispatch(id, message ?? {}, text.length)
	}

	#dispatch(id: number, { error, result }: Message, size: number): void {
		const receiver = this.#receivers.get(id)
		if (!receiver) return
		if (error === undefined && (typeof result !== 'object' || result === null)) {
			this.#refuse('a message without a result')
			return
		}
		if (error !== undefined || result?.type === 'stopped') this.#receivers.delete(id)
		if (error !== undefined) receiver.onFailed(readTrpcError(error))
		else if (result?.type === 'stopped') receiver.onStopped()
		else if (result?.type === 'started') receiver.onStarted()
		else if (typeof result?.id === 'string') receiver.onData(result.data?.data, result.id, size)
		else receiver.onData(result?.data, null, size)
		this.#closeWhenIdle()
	}

	/** Ends with an error that names the address: another server listens there. */
	#refuse(got: string, cause?: unknown): void {
		this.#end(new TransportUnusable(new ForeignAnswer(this.#url, got, "a message of tRPC's protocol", { cause })))
	}

	#watch(): void {
		const silence = this.#clock.now() - this.#lastHeard
		if (silence >= this.#heartbeatMs * SILENT_HEARTBEATS) {
			this.#end(new ConnectionLost(`The server sent nothing for ${Math.round(silence)} ms.`))
			return
		}
		if (silence >= this.#heartbeatMs && this.#socket?.readyState === OPEN) this.#socket.send('PING')
		this.#stopListening = this.#clock.after(this.#heartbeatMs / 2, () => this.#watch())
	}

	#closeWhenIdle(): void {
		if (this.#receivers.size === 0) this.#end(null)
	}

	/** Closes the socket and passes the error to every subscription; an idle socket has none. */
	#end(error: PlanstreamError | ConnectionLost | null): void {
		if (!this.#usable) return
		this.#usable = false
		this.#stopListening()
		this.#socket?.close()
		const receivers = [...this.#receivers.values()]
		this.#receivers.clear()
		if (error) for (const receiver of receivers) receiver.onFailed(error)
	}
}

/** @throws ConnectionLost where the runtime refuses, as a browser does to `ws:` in a page of `https:` */
function createWebSocket(WebSocket: WebSocketConstructor, url: string): WebSocketLike {
	try {
		return new WebSocket(url)
	} catch (cause) {
		throw new ConnectionLost(`A WebSocket could not be made: ${cause instanceof Error ? cause.message : String(cause)}`, {
			cause,
		})
	}
}

/** A message from the server, in tRPC's envelope. */
interface Message {
	readonly id?: unknown
	readonly method?: unknown
	readonly error?: unknown
	readonly result?: { readonly type?: unknown; readonly id?: unknown; readonly data?: { readonly data?: unknown } }
}
