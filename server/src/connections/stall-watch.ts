import { PlanstreamError } from '@planstream/shared'

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
export class StallWatch {
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
		else this.#ends.leave(stalled())
		this.#isLeaving = true
		this.#socket.setTimeout(this.#timeoutMs)
	}
}

function stalled(): PlanstreamError {
	return new PlanstreamError('slow_consumer', 'Nothing was taken of what waits for this connection. Connect again to go on.')
}
