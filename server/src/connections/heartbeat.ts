import type { Schedule } from './schedule.js'

/** The part of a WebSocket that a heartbeat needs. */
export interface PingableSocket {
	/** `flushed` is called when the frame has left this process, or with the reason why it has not. */
	ping(data: string, mask: boolean, flushed: (error?: Error | null) => void): void
	terminate(): void
	/** True while this process has chosen to read nothing, and could not see an answer. */
	readonly isPaused: boolean
	on(event: 'pong' | 'message', listener: () => void): unknown
}

export interface HeartbeatOptions {
	/** Milliseconds from one answer to the next ping. */
	readonly pingIntervalMs: number
	/** Milliseconds for an answer, counted from when the ping has left: a slow reader first has to take what is queued before it. */
	readonly pongTimeoutMs: number
	readonly schedule: Schedule
}

/** Who is told of each sign of life. */
export interface Living {
	seen(): void
}

/** Pings a WebSocket until it is disposed, and terminates it when nothing comes after a ping. */
export class Heartbeat implements Disposable {
	readonly #socket: PingableSocket
	readonly #options: HeartbeatOptions
	#timer: Disposable
	/** For an answer. */
	#isWaiting = false

	constructor(socket: PingableSocket, living: Living, options: HeartbeatOptions) {
		this.#socket = socket
		this.#options = options
		this.#timer = this.#pingLater()
		const alive = (): void => {
			living.seen()
			if (this.#isWaiting) this.#goOn()
		}
		socket.on('pong', alive)
		socket.on('message', alive)
	}

	[Symbol.dispose](): void {
		this.#isWaiting = false
		this.#timer[Symbol.dispose]()
	}

	#pingLater(): Disposable {
		return this.#options.schedule(() => this.#ping(), this.#options.pingIntervalMs)
	}

	#goOn(): void {
		this[Symbol.dispose]()
		this.#timer = this.#pingLater()
	}

	#ping(): void {
		this.#isWaiting = true
		this.#socket.ping('', false, (error) => {
			if (this.#isWaiting && error == null) this.#expectAnswer()
		})
	}

	/** Two pings may leave at once when what was queued before them is taken; one answer is due then. */
	#expectAnswer(): void {
		this.#timer[Symbol.dispose]()
		this.#timer = this.#options.schedule(() => {
			if (this.#socket.isPaused) this.#expectAnswer()
			else this.#socket.terminate()
		}, this.#options.pongTimeoutMs)
	}
}
