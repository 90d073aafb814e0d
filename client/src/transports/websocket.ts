import type { PlanstreamError } from '@planstream/shared'
import { lostOrError } from '../problem.js'
import { ConnectionLost, type Delivery, type Stream, type StreamRequest, type Transport } from './transport.js'
import { TrpcSocket, type TrpcSocketOptions } from './trpc-socket.js'

/**
 * Hands items that arrive on their own to one reader that takes them at its pace. It is bounded: what is over the
 * bound is not taken, and the reader finds `overflowed` when it has read the rest.
 */
export class Inbox<Item> {
	readonly #capacity: number
	readonly #waiting: { readonly item: Item; readonly size: number }[] = []
	#size = 0
	#overflowed = false
	#ended: { readonly error: Error | null } | null = null
	#wake: () => void = () => {}

	/** @param capacity - the bound, in the unit of `push` */
	constructor(capacity: number) {
		this.#capacity = capacity
	}

	get overflowed(): boolean {
		return this.#overflowed
	}

	/** @returns false when the item was not taken, because the inbox is full or has ended */
	push(item: Item, size: number): boolean {
		if (this.#ended) return false
		if (this.#size > this.#capacity) {
			this.#overflowed = true
			this.end()
			return false
		}
		this.#size += size
		this.#waiting.push({ item, size })
		this.#wake()
		return true
	}

	/** Nothing more comes; the reader gets what waits, then the error if there is one. The first end counts. */
	end(error: Error | null = null): void {
		this.#ended ??= { error }
		this.#wake()
	}

	async *read(): AsyncGenerator<Item, void, undefined> {
		for (;;) {
			for (const { item, size } of this.#waiting.splice(0)) {
				this.#size -= size
				yield item
			}
			if (this.#waiting.length > 0) continue
			if (this.#ended?.error) throw this.#ended.error
			if (this.#ended) return
			await new Promise<void>((resolve) => {
				this.#wake = resolve
			})
		}
	}
}

/** How much text may wait for a slow reader, in characters; then the stream stops and goes on from there later. */
const MAX_WAITING = 4 * 1024 * 1024

/** Streams over one WebSocket, shared by all of them, which is open only while there are any. */
export class WebSocketTransport implements Transport {
	readonly name = 'websocket'
	readonly #options: TrpcSocketOptions
	#socket: TrpcSocket | null = null

	constructor(options: TrpcSocketOptions) {
		this.#options = options
	}

	async open(request: StreamRequest, signal: AbortSignal): Promise<Stream> {
		const inbox = await this.#subscribe(request, signal)
		return this.#read(inbox, request, signal)
	}

	async *#read(first: Inbox<Delivery>, request: StreamRequest, signal: AbortSignal): AsyncGenerator<Delivery, void, undefined> {
		let { lastCursor } = request
		for (let inbox = first; ; inbox = await this.#subscribe({ ...request, lastCursor }, signal)) {
			for await (const delivery of inbox.read()) {
				lastCursor = delivery.cursor ?? lastCursor
				yield delivery
			}
			if (!inbox.overflowed || signal.aborted) return
		}
	}

	/** Resolves when the server says that the subscription has started. */
	#subscribe({ route, input, lastCursor }: StreamRequest, signal: AbortSignal): Promise<Inbox<Delivery>> {
		return new Promise((resolve, reject) => {
			const inbox = new Inbox<Delivery>(MAX_WAITING)
			const end = (error: PlanstreamError | ConnectionLost | null): void => {
				signal.removeEventListener('abort', leave)
				inbox.end(error)
				reject(error ?? new ConnectionLost('The server stopped the subscription before it began.'))
			}
			const leave = (): void => {
				release()
				end(null)
			}
			const params = { path: route.name, input, ...(lastCursor === null ? {} : { lastEventId: lastCursor }) }
			const release = this.#connected().subscribe(params, {
				started: () => resolve(inbox),
				data: (item, cursor, size) => {
					if (!inbox.push({ item, cursor }, size)) leave()
				},
				stopped: () => end(null),
				failed: (error) => end(lostOrError(error)),
			})
			signal.addEventListener('abort', leave)
			if (signal.aborted) leave()
		})
	}

	#connected(): TrpcSocket {
		if (!this.#socket?.usable) this.#socket = new TrpcSocket(this.#options)
		return this.#socket
	}
}
