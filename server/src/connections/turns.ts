import { drained, isFull, type SendBuffer } from './back-pressure.js'

/**
 * The writing end of a connection that several share. Who wants to write waits in line, writes one item a turn and only while fewer
 * than `limit` bytes wait: so each gets its share, and what waits is at most the limit and the one item that crosses it.
 */
export class Turns {
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
		await drained(this.#buffer, signal)
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
