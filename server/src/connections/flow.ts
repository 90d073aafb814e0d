/** The stream that a connection is written to: its socket, or the compressor before it. */
export interface Writable {
	/** True after a write found the buffer full, until `drain`. */
	readonly writableNeedDrain: boolean
	on(event: 'drain' | 'close', listener: () => void): unknown
	off(event: 'drain' | 'close', listener: () => void): unknown
}

/** The writing end of a connection, and the limit of its buffer. */
export interface SendBuffer {
	readonly writable: Writable
	/** Buffered bytes. */
	readonly queued: number
	/** Buffered bytes at which writing stops. */
	readonly limit: number
}

/** Whether the client must read before more is written. */
function isFull(buffer: SendBuffer): boolean {
	return buffer.writable.writableNeedDrain && buffer.queued >= buffer.limit
}

/** Resolves at once while there is room; else on drain, on close, or when the signal aborts. */
async function waitForRoom(buffer: SendBuffer, signal?: AbortSignal): Promise<void> {
	while (signal?.aborted !== true && isFull(buffer)) await waitForDrain(buffer.writable, signal)
}

function waitForDrain(writable: Writable, signal?: AbortSignal): Promise<void> {
	return new Promise((resolve) => {
		const done = (): void => {
			writable.off('drain', done)
			writable.off('close', done)
			signal?.removeEventListener('abort', done)
			resolve()
		}
		writable.on('drain', done)
		writable.on('close', done)
		signal?.addEventListener('abort', done)
	})
}

/**
 * Fair write queue for a connection shared by several streams. Each turn writes one item, and none starts while `limit` bytes or more are
 * buffered, so the buffer never exceeds the limit by more than one item.
 */
export class WriteQueue {
	readonly #buffer: SendBuffer
	readonly #line: (() => void)[] = []
	#taken = false

	constructor(buffer: SendBuffer) {
		this.#buffer = buffer
	}

	/** Whether the client must read before more is written. */
	get full(): boolean {
		return isFull(this.#buffer)
	}

	/**
	 * Resolves when it is the caller's turn and there is room. The turn lasts until it is disposed. An aborted signal ends the wait for room.
	 *
	 * @returns null when the signal aborted and there is no room
	 */
	async take(signal?: AbortSignal): Promise<Disposable | null> {
		if (this.#taken && !(await this.#waitInLine(signal))) return null
		this.#taken = true
		await waitForRoom(this.#buffer, signal)
		let passed = false
		const pass = (): void => {
			if (!passed) this.#passTurn()
			passed = true
		}
		if (!this.full) return { [Symbol.dispose]: pass }
		pass()
		return null
	}

	/** Waits in line. Resolves to false when the signal aborts while there is no room. */
	#waitInLine(signal?: AbortSignal): Promise<boolean> {
		return new Promise((resolve) => {
			const call = (): void => {
				signal?.removeEventListener('abort', giveUp)
				resolve(true)
			}
			const giveUp = (): void => {
				if (!this.full) return
				this.#line.splice(this.#line.indexOf(call), 1)
				signal?.removeEventListener('abort', giveUp)
				resolve(false)
			}
			this.#line.push(call)
			signal?.addEventListener('abort', giveUp)
			if (signal?.aborted === true) giveUp()
		})
	}

	/** Passes the turn directly to the first in line. */
	#passTurn(): void {
		const first = this.#line.shift()
		if (first === undefined) this.#taken = false
		else first()
	}
}

/** The reading end of a connection. */
export interface Pausable {
	pause(): void
	resume(): void
}

/** Pauses the reading end of a connection while at least one hold is open. */
export class ReadGate {
	readonly #source: Pausable
	#holds = 0

	constructor(source: Pausable) {
		this.#source = source
	}

	/** Pauses reading until the result is disposed. */
	hold(): Disposable {
		if (this.#holds++ === 0) this.#source.pause()
		let held = true
		return {
			[Symbol.dispose]: () => {
				if (held && --this.#holds === 0) this.#source.resume()
				held = false
			},
		}
	}
}

/** Limits the concurrent calls of one connection. Further calls wait in order, and reading is paused while any of them waits. */
export class CallLimiter {
	readonly #limit: number
	readonly #reading: ReadGate
	readonly #waiting: (() => void)[] = []
	#running = 0

	constructor(limit: number, reading: ReadGate) {
		this.#limit = limit
		this.#reading = reading
	}

	async run<Answer>(work: () => Promise<Answer>): Promise<Answer> {
		if (this.#running < this.#limit) this.#running++
		else await this.#waitForSlot()
		try {
			return await work()
		} finally {
			const next = this.#waiting.shift()
			if (next === undefined) this.#running--
			else next()
		}
	}

	async #waitForSlot(): Promise<void> {
		using _hold = this.#reading.hold()
		await new Promise<void>((resolve) => this.#waiting.push(resolve))
	}
}
