/**
 * A flag somebody can wait for. It may ring early or twice, never not at all: a ring between two waits
 * makes the next wait return at once.
 */
export class Bell {
	#rung = false
	#wake: (() => void) | null = null

	ring(): void {
		this.#rung = true
		this.#wake?.()
	}

	/** Resolves at the next ring, or at once if it rang since the last wait, or when the signal aborts. */
	async wait(signal: AbortSignal): Promise<void> {
		if (!this.#rung && !signal.aborted) {
			const { promise, resolve } = withResolvers()
			this.#wake = resolve
			signal.addEventListener('abort', resolve, { once: true })
			await promise
			signal.removeEventListener('abort', resolve)
			this.#wake = null
		}
		this.#rung = false
	}
}

function withResolvers(): { promise: Promise<void>; resolve: () => void } {
	let resolve = (): void => undefined
	const promise = new Promise<void>((done) => {
		resolve = done
	})
	return { promise, resolve }
}
