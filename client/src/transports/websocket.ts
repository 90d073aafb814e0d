import type { PlanstreamError } from '@planstream/shared'
import { cutOrError } from '../problem.js'
import { Inbox } from './inbox.js'
import { Cut, type Delivery, type Stream, type StreamRequest, type Transport } from './transport.js'
import { TrpcSocket, type TrpcSocketOptions } from './trpc-socket.js'

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
			const end = (error: PlanstreamError | Cut | null): void => {
				signal.removeEventListener('abort', leave)
				inbox.end(error)
				reject(error ?? new Cut('The server stopped the subscription before it began.'))
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
				failed: (error) => end(cutOrError(error)),
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
