/** Lets so many pass at once; the others wait in the order they came. */
export class Slots {
	#free: number
	readonly #waiting = new Set<() => void>()

	constructor(count: number) {
		this.#free = count
	}

	/** Resolves with a slot, to be disposed of. Rejects with the signal's reason. */
	async take(signal: AbortSignal): Promise<Disposable> {
		signal.throwIfAborted()
		if (this.#free > 0) this.#free -= 1
		else await this.#wait(signal)
		return { [Symbol.dispose]: () => this.#release() }
	}

	#wait(signal: AbortSignal): Promise<void> {
		return new Promise((resolve, reject) => {
			const leave = () => {
				this.#waiting.delete(enter)
				reject(signal.reason)
			}
			const enter = () => {
				signal.removeEventListener('abort', leave)
				resolve()
			}
			signal.addEventListener('abort', leave, { once: true })
			this.#waiting.add(enter)
		})
	}

	#release(): void {
		const [next] = this.#waiting
		if (next === undefined) {
			this.#free += 1
			return
		}
		this.#waiting.delete(next)
		next()
	}
}
