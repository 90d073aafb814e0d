import { PlanstreamError } from '@planstream/shared'
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

/** Emits `timeout` when a connection was idle for the time that was set. */
export interface IdleSource {
	on(event: 'timeout', listener: () => void): unknown
	off(event: 'timeout', listener: () => void): unknown
}

/** A socket with an idle timeout. */
export interface IdleSocket extends IdleSource {
	readonly writableNeedDrain: boolean
	setTimeout(delayMs: number): unknown
	once(event: 'drain', listener: () => void): unknown
}

/** The two ways to close a stalled connection. */
export interface StallEnds {
	/** Closes gracefully; buffered bytes may still be read. */
	leave(reason: PlanstreamError): void
	/** Closes at once. */
	terminate(): void
}

/**
 * Ends a connection whose client has read nothing of its buffered bytes for the timeout, and terminates it after the same time again. A
 * connection whose client keeps up has neither a timer nor a listener.
 */
export class SlowConsumerTimer {
	readonly #socket: IdleSocket
	readonly #idle: IdleSource
	readonly #timeoutMs: number
	readonly #ends: StallEnds
	#isArmed = false
	#isLeaving = false

	/** @param idle - emits the idle timeout of the socket. @defaultValue the socket itself */
	constructor(socket: IdleSocket, timeoutMs: number, ends: StallEnds, idle: IdleSource = socket) {
		this.#socket = socket
		this.#idle = idle
		this.#timeoutMs = timeoutMs
		this.#ends = ends
	}

	/** Starts to watch for a stall. Called when a write finds no room. */
	arm(): void {
		if (this.#isArmed) return
		this.#isArmed = true
		const onIdle = (): void => this.#giveUp()
		this.#idle.on('timeout', onIdle)
		this.#socket.setTimeout(this.#timeoutMs)
		this.#socket.once('drain', () => {
			this.#idle.off('timeout', onIdle)
			this.#socket.setTimeout(0)
			this.#isArmed = false
		})
	}

	#giveUp(): void {
		if (!this.#socket.writableNeedDrain) return
		if (this.#isLeaving) this.#ends.terminate()
		else this.#ends.leave(new PlanstreamError('slow_consumer', 'The client stopped reading. Reconnect to resume.'))
		this.#isLeaving = true
		this.#socket.setTimeout(this.#timeoutMs)
	}
}
