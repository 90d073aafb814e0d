import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

/** The fate of a WebSocket handshake: passed on, answered with 403 or 404, or swallowed as some proxies do. */
export type HandshakeFate = 'pass' | 'refuse' | 'miss' | 'swallow'

const HANDSHAKE = /\r\nupgrade: *websocket\r\n/i
const EVENT_STREAM = /\r\ncontent-type: *text\/event-stream/i
const REFUSALS = {
	refuse: 'HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n',
	miss: 'HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n',
}
const HEAD_END = '\r\n\r\n'
const REQUEST = /^[A-Z]+ \S+ HTTP\/1\.1\r\n/

/** A TCP proxy in front of a server that causes the faults of real networks. */
export class FaultProxy implements AsyncDisposable {
	webSockets: HandshakeFate = 'pass'
	/** Holds back server-sent events until their stream has ended, as some virus scanners do. */
	holdsStreams = false
	/** Closes new connections at once, as if no server was listening. */
	away = false
	/** The number of bytes from the server that the next connection passes on before it is cut; null: no cut. */
	nextCut: () => number | null = () => null
	/** Connections accepted so far. */
	accepted = 0
	/** Requests received over them so far. */
	requests = 0
	readonly #server: Server
	readonly #target: URL
	readonly #pairs = new Set<Pair>()
	#stalled = false
	#onClose: () => void = () => {}

	constructor(target: string) {
		this.#target = new URL(target)
		this.#server = createServer((client) => this.#accept(client))
	}

	get url(): string {
		return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
	}

	/** Connections that are open. */
	get open(): number {
		return this.#pairs.size
	}

	async listen(): Promise<this> {
		await once(this.#server.listen(0, '127.0.0.1'), 'listening')
		return this
	}

	/** Cuts every connection now. */
	cut(): void {
		for (const pair of [...this.#pairs]) pair.cut()
	}

	/** Stops passing on bytes from the server, on old and new connections, and keeps them open. */
	stall(): void {
		this.#stalled = true
	}

	/** Stops reading from the server until {@link goOn}, so that it has to wait; nothing is lost. */
	hold(): void {
		for (const pair of this.#pairs) pair.hold()
	}

	goOn(): void {
		for (const pair of this.#pairs) pair.goOn()
	}

	/** Resolves when no connection is open. */
	async idle(): Promise<void> {
		while (this.#pairs.size > 0) {
			await new Promise<void>((resolve) => {
				this.#onClose = resolve
			})
		}
	}

	async [Symbol.asyncDispose](): Promise<void> {
		this.cut()
		this.#server.close()
		await once(this.#server, 'close')
	}

	#accept(client: Socket): void {
		this.accepted++
		client.on('error', ignoreReset)
		if (this.away) {
			client.destroy()
			return
		}
		const port = Number(this.#target.port)
		const upstream = connect({ port, host: this.#target.hostname })
		const pair = new Pair(client, upstream, {
			cutAfter: this.nextCut(),
			isStalled: () => this.#stalled,
			holdsStreams: this.holdsStreams,
		})
		this.#pairs.add(pair)
		client.once('close', () => {
			pair.cut()
			this.#pairs.delete(pair)
			this.#onClose()
		})
		let head = ''
		client.on('data', (chunk) => {
			if (REQUEST.test(chunk.toString('latin1'))) this.requests++
			if (!head.includes(HEAD_END)) head += chunk.toString('latin1')
			if (this.webSockets === 'pass' || !HANDSHAKE.test(head)) upstream.write(chunk)
			else if (this.webSockets !== 'swallow') client.end(REFUSALS[this.webSockets])
		})
	}
}

interface PairOptions {
	readonly cutAfter: number | null
	readonly isStalled: () => boolean
	readonly holdsStreams: boolean
}

/** One connection through the proxy. */
class Pair {
	readonly #client: Socket
	readonly #upstream: Socket
	#left: number
	/** Bytes held back until the stream has ended; null when nothing is held back. */
	#held: Buffer[] | null = null

	constructor(client: Socket, upstream: Socket, { cutAfter, isStalled, holdsStreams }: PairOptions) {
		this.#client = client
		this.#upstream = upstream
		this.#left = cutAfter ?? Number.POSITIVE_INFINITY
		upstream.on('error', ignoreReset)
		upstream.on('data', (chunk) => {
			if (holdsStreams && EVENT_STREAM.test(chunk.toString('latin1'))) this.#held ??= []
			if (this.#held) this.#held.push(chunk)
			else if (!isStalled()) this.#pass(chunk)
		})
		upstream.on('close', () => {
			this.#pass(Buffer.concat(this.#held ?? []))
			client.end()
		})
	}

	hold(): void {
		this.#upstream.pause()
	}

	goOn(): void {
		this.#upstream.resume()
	}

	cut(): void {
		this.#client.destroy()
		this.#upstream.destroy()
	}

	#pass(chunk: Buffer): void {
		if (chunk.length === 0) return
		const part = chunk.subarray(0, this.#left)
		this.#left -= part.length
		if (this.#left > 0) this.#client.write(part)
		else this.#client.write(part, () => this.cut())
	}
}

/** Ignores resets, which this proxy causes on purpose. */
function ignoreReset(): void {}

/**
 * Starts a proxy on a free port; `await using` cuts open connections and stops it.
 *
 * @param target - URL of the server behind it
 */
export function startFaultProxy(target: string): Promise<FaultProxy> {
	return new FaultProxy(target).listen()
}
