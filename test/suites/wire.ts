import { once } from 'node:events'
import { type ClientOptions, WebSocket } from 'ws'

/** What the server says over tRPC's WebSocket. */
export interface Answer {
	readonly id: number | null
	readonly result?: { readonly type: string; readonly id?: string; readonly data?: unknown }
	readonly error?: { readonly data: { readonly problem: { readonly code: string; readonly detail: string } } }
}

interface WireOptions extends ClientOptions {
	readonly protocols?: string[]
}

/** A bare client that shows what comes over the wire. */
export class Wire implements AsyncDisposable {
	readonly socket: WebSocket
	/** The code it was closed with. */
	readonly closed: Promise<number>
	readonly #arrived: Answer[] = []
	#wake: () => void = () => undefined

	constructor(server: { readonly url: string }, path = '/trpc', { protocols = [], ...options }: WireOptions = {}) {
		this.socket = new WebSocket(`${server.url.replace('http', 'ws')}${path}`, protocols, options)
		this.socket.on('error', () => undefined)
		this.socket.on('message', (data) => {
			this.#arrived.push(JSON.parse(String(data)) as Answer)
			this.#wake()
		})
		this.closed = new Promise((resolve) => this.socket.once('close', (code) => resolve(code)))
	}

	async open(): Promise<this> {
		await once(this.socket, 'open')
		return this
	}

	/** What arrived and nobody has taken. */
	get arrived(): readonly Answer[] {
		return this.#arrived
	}

	async next(): Promise<Answer> {
		for (;;) {
			const next = this.#arrived.shift()
			if (next !== undefined) return next
			await new Promise<void>((resolve) => {
				this.#wake = resolve
			})
		}
	}

	subscribe(id: number, plan_id: string): void {
		this.socket.send(JSON.stringify({ id, method: 'subscription', params: { path: 'plans.events', input: { plan_id } } }))
	}

	/** Leaves without a word. */
	async [Symbol.asyncDispose](): Promise<void> {
		this.socket.terminate()
		await this.closed
	}
}
