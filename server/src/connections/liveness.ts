import { PlanstreamError } from '@planstream/shared'
import type { Schedule } from '../ops/clock.js'

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
export interface Monitored {
	touch(): void
}

/** Pings a WebSocket until it is disposed, and terminates it when nothing comes after a ping. */
export class Heartbeat implements Disposable {
	readonly #socket: PingableSocket
	readonly #options: HeartbeatOptions
	#timer: Disposable
	/** For an answer. */
	#isWaiting = false

	constructor(socket: PingableSocket, living: Monitored, options: HeartbeatOptions) {
		this.#socket = socket
		this.#options = options
		this.#timer = this.#pingLater()
		const alive = (): void => {
			living.touch()
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

/** What tells that nothing has moved on a connection for as long as was set. */
export interface IdleSource {
	on(event: 'timeout', listener: () => void): unknown
	off(event: 'timeout', listener: () => void): unknown
}

/** A connection that notices how long nothing has moved on it. */
export interface IdleSocket extends IdleSource {
	readonly writableNeedDrain: boolean
	setTimeout(delayMs: number): unknown
	once(event: 'drain', listener: () => void): unknown
}

/** How a connection is given up that takes nothing. */
export interface StallEnds {
	/** Asks it to end; what waits for it may still be taken. */
	leave(reason: PlanstreamError): void
	/** Closes it at once. */
	terminate(): void
}

/**
 * Ends a connection that has taken nothing of what waits for it for so long, and closes it when that lasts as long again. A connection
 * that takes what it gets has neither a timer nor a listener.
 */
export class SlowConsumerTimer {
	readonly #socket: IdleSocket
	readonly #idle: IdleSource
	readonly #timeoutMs: number
	readonly #ends: StallEnds
	#isArmed = false
	#isLeaving = false

	/** @param idle - who tells of the socket's silence. @defaultValue the socket itself */
	constructor(socket: IdleSocket, timeoutMs: number, ends: StallEnds, idle: IdleSource = socket) {
		this.#socket = socket
		this.#idle = idle
		this.#timeoutMs = timeoutMs
		this.#ends = ends
	}

	/** To be called when a write finds no room. */
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
		else this.#ends.leave(isStalled())
		this.#isLeaving = true
		this.#socket.setTimeout(this.#timeoutMs)
	}
}

function isStalled(): PlanstreamError {
	return new PlanstreamError('slow_consumer', 'Nothing was taken of what waits for this connection. Connect again to go on.')
}
