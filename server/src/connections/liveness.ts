import type { Schedule } from '../ops/clock.js'

/** The part of a WebSocket that a heartbeat needs. */
export interface PingableSocket {
	/** Calls `flushed` once the frame has left this process, or with the error that kept it. */
	ping(data: string, mask: boolean, flushed: (error?: Error | null) => void): void
	terminate(): void
	/** True while this process has paused reading and cannot see an answer. */
	readonly isPaused: boolean
	on(event: 'pong' | 'message', listener: () => void): unknown
}

export interface HeartbeatOptions {
	/** Time from an answer to the next ping, in milliseconds. */
	readonly pingIntervalMs: number
	/** Time for an answer in milliseconds, from when the ping was flushed: a slow client first has to read what is queued before it. */
	readonly pongTimeoutMs: number
	readonly schedule: Schedule
}

/** Pings a WebSocket until it is disposed, and terminates the connection when a ping gets no answer. */
export class Heartbeat implements Disposable {
	readonly #socket: PingableSocket
	readonly #options: HeartbeatOptions
	#timer: Disposable
	/** Whether a ping was sent and not answered yet. */
	#isWaiting = false

	constructor(socket: PingableSocket, peer: { touch(): void }, options: HeartbeatOptions) {
		this.#socket = socket
		this.#options = options
		this.#timer = this.#pingLater()
		const onAlive = (): void => {
			peer.touch()
			if (this.#isWaiting) this.#restart()
		}
		socket.on('pong', onAlive)
		socket.on('message', onAlive)
	}

	[Symbol.dispose](): void {
		this.#isWaiting = false
		this.#timer[Symbol.dispose]()
	}

	#pingLater(): Disposable {
		return this.#options.schedule(() => this.#ping(), this.#options.pingIntervalMs)
	}

	#restart(): void {
		this[Symbol.dispose]()
		this.#timer = this.#pingLater()
	}

	#ping(): void {
		this.#isWaiting = true
		this.#socket.ping('', false, (error) => {
			if (this.#isWaiting && error == null) this.#expectAnswer()
		})
	}

	/** Starts the timer for an answer. Two pings may be flushed together after a stall; one answer is enough for both. */
	#expectAnswer(): void {
		this.#timer[Symbol.dispose]()
		this.#timer = this.#options.schedule(() => {
			if (this.#socket.isPaused) this.#expectAnswer()
			else this.#socket.terminate()
		}, this.#options.pongTimeoutMs)
	}
}
