/** What a connection is written to: its socket, or the compressor before it. */
export interface Writable {
	/** True when a write found the buffer full and `drain` has not come since. */
	readonly writableNeedDrain: boolean
	on(event: 'drain' | 'close', listener: () => void): unknown
	off(event: 'drain' | 'close', listener: () => void): unknown
}

/** The writing end of a connection, and how much may wait in it. */
export interface SendBuffer {
	readonly writable: Writable
	/** Bytes that wait. */
	readonly queued: number
	/** Bytes from which on nothing more is written. */
	readonly limit: number
}

/** Whether the reader has to take something before more is written. */
function isFull(buffer: SendBuffer): boolean {
	return buffer.writable.writableNeedDrain && buffer.queued >= buffer.limit
}

/** Resolves at once while there is room; else when what was written has drained or the connection has closed, or the signal aborts. */
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
 * The writing end of a connection that several share. Who wants to write waits in line, writes one item a turn and only while fewer
 * than `limit` bytes wait: so each gets its share, and what waits is at most the limit and the one item that crosses it.
 */
export class WriteQueue {
	readonly #buffer: SendBuffer
	readonly #line: (() => void)[] = []
	#taken = false

	constructor(buffer: SendBuffer) {
		this.#buffer = buffer
	}

	/** Whether the reader has to take something before more is written. */
	get full(): boolean {
		return isFull(this.#buffer)
	}

	/**
	 * Resolves when it is the caller's turn and there is room; nobody else writes until the turn is disposed. Once the signal has
	 * aborted nobody waits for room any more.
	 *
	 * @returns null when the signal aborted and there is no room
	 */
	async take(signal?: AbortSignal): Promise<Disposable | null> {
		if (this.#taken && !(await this.#called(signal))) return null
		this.#taken = true
		await waitForRoom(this.#buffer, signal)
		let passed = false
		const pass = (): void => {
			if (!passed) this.#next()
			passed = true
		}
		if (!this.full) return { [Symbol.dispose]: pass }
		pass()
		return null
	}

	/** Waits in line; false for who gave up. */
	#called(signal?: AbortSignal): Promise<boolean> {
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

	/** The turn goes to the first in line without being free in between. */
	#next(): void {
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

/** The reading end of a connection that several may hold up; it goes on when none of them does. */
export class ReadGate {
	readonly #source: Pausable
	#holds = 0

	constructor(source: Pausable) {
		this.#source = source
	}

	/** Reads nothing more until it is disposed. */
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

/** The calls on one connection: so many are worked on at one time, the others wait, and while they do nothing more is read. */
export class CallLimiter {
	readonly #limit: number
	readonly #reading: ReadGate
	readonly #waiting: (() => void)[] = []
	#atWork = 0

	constructor(limit: number, reading: ReadGate) {
		this.#limit = limit
		this.#reading = reading
	}

	async run<Answer>(work: () => Promise<Answer>): Promise<Answer> {
		if (this.#atWork < this.#limit) this.#atWork++
		else await this.#place()
		try {
			return await work()
		} finally {
			const next = this.#waiting.shift()
			if (next === undefined) this.#atWork--
			else next()
		}
	}

	async #place(): Promise<void> {
		using _hold = this.#reading.hold()
		await new Promise<void>((resolve) => this.#waiting.push(resolve))
	}
}
