import type { PlanstreamError } from '@planstream/shared'
import { toStreamError } from '../problem.js'
import { ConnectionLost, type Delivery, type Stream, type StreamRequest, type Transport } from './transport.js'
import { TrpcSocket, type TrpcSocketOptions } from './trpc-socket.js'

/**
 * A bounded buffer between items that arrive by themselves and one reader. It refuses items beyond its bound, and `overflowed` is true
 * once the reader has read the rest.
 */
export class Inbox<Item> {
	readonly #capacity: number
	readonly #waiting: { readonly item: Item; readonly size: number }[] = []
	#size = 0
	#overflowed = false
	#ended: { readonly error: Error | null } | null = null
	#wake: () => void = () => {}

	/** @param capacity - the bound, in the unit of the sizes passed to `push` */
	constructor(capacity: number) {
		this.#capacity = capacity
	}

	get overflowed(): boolean {
		return this.#overflowed
	}

	/** @returns false if the inbox refused the item, because it is full or has ended */
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

	/** Ends the inbox: the reader gets the waiting items, then the error, if any. Only the first call counts. */
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

/** Characters of text that may wait for a slow reader; beyond that, the stream stops and resumes from there later. */
const MAX_WAITING = 4 * 1024 * 1024

/** Streams over one shared WebSocket, which is open only while there are streams. */
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

	/** Resolves when the server confirms the subscription. */
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
			const release = this.#getSocket().subscribe(params, {
				onStarted: () => resolve(inbox),
				onData: (item, cursor, size) => {
					resolve(inbox) // another server than ours may confirm nothing
					if (!inbox.push({ item, cursor }, size)) leave()
				},
				onStopped: () => end(null),
				onFailed: (error) => end(toStreamError(error)),
			})
			signal.addEventListener('abort', leave)
			if (signal.aborted) leave()
		})
	}

	#getSocket(): TrpcSocket {
		if (!this.#socket?.usable) this.#socket = new TrpcSocket(this.#options)
		return this.#socket
	}
}
