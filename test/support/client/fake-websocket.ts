import type { WebSocketConstructor, WebSocketLike } from '../../../client/src/transports/trpc-socket.js'

/** A WebSocket whose peer is the test. */
export class FakeWebSocket implements WebSocketLike {
	readonly sent: unknown[] = []
	readonly #listeners: { readonly type: string; readonly listener: (event: never) => void }[] = []
	readyState = 0

	addEventListener(type: string, listener: (event: never) => void): void {
		this.#listeners.push({ type, listener })
	}

	send(text: string): void {
		this.sent.push(text === 'PING' || text === 'PONG' ? text : JSON.parse(text))
	}

	close(): void {
		this.readyState = 3
	}

	open(): void {
		this.readyState = 1
		this.#tell('open', {})
	}

	hear(message: unknown): void {
		const data = typeof message === 'string' ? message : JSON.stringify(message)
		this.#tell('message', { data })
	}

	lose(code: number, reason = ''): void {
		this.readyState = 3
		this.#tell('close', { code, reason })
	}

	#tell(type: string, event: object): void {
		for (const each of this.#listeners) if (each.type === type) each.listener(event as never)
	}
}

/** Creates a WebSocket class for the client, and gives access to its newest instance. */
export function createFakeWebSockets(): { readonly WebSocket: WebSocketConstructor; last(): FakeWebSocket } {
	const made: FakeWebSocket[] = []
	class WebSocket extends FakeWebSocket {
		constructor() {
			super()
			made.push(this)
		}
	}
	const last = (): FakeWebSocket => {
		const socket = made.at(-1)
		if (socket === undefined) throw new Error('The client has opened no WebSocket yet.')
		return socket
	}
	return { WebSocket, last }
}
