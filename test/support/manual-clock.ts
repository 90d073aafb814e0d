import type { Clock } from '../../client/src/timing.js'

/** A clock that advances only when the test says so. */
export class ManualClock implements Clock {
	#now = 0
	readonly #timers = new Map<object, { readonly at: number; readonly run: () => void }>()

	/** Timers that have neither run nor been cancelled. */
	get pending(): number {
		return this.#timers.size
	}

	now(): number {
		return this.#now
	}

	after(ms: number, run: () => void): () => void {
		const timer = {}
		this.#timers.set(timer, { at: this.#now + ms, run })
		return () => void this.#timers.delete(timer)
	}

	/** Advances the clock and runs due timers in order of their time. */
	advance(ms: number): void {
		const end = this.#now + ms
		for (;;) {
			const due = [...this.#timers].filter(([, { at }]) => at <= end).sort(([, a], [, b]) => a.at - b.at)[0]
			if (due === undefined) break
			const [timer, { at, run }] = due
			this.#timers.delete(timer)
			this.#now = at
			run()
		}
		this.#now = end
	}
}
