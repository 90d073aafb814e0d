/** A round that took less is not worth a timer, which counts in milliseconds. */
const SHORT_MS = 0.5
/** However many readers there are, nobody waits longer for the next round to begin. */
const MAX_REST_MS = 25

/**
 * Has a loop rest after each round for as long as the round took, up to a limit. So the loop leaves half of its thread to those who publish,
 * unless its rounds are longer than a rest may be, and what they publish meanwhile is one round: the more readers, the more events share the
 * price of a write. After a short round there is no rest.
 */
export class Rest {
	readonly #clock: () => number
	#until = 0

	/** @param clock - in milliseconds, never set back */
	constructor(clock: () => number) {
		this.#clock = clock
	}

	/** Milliseconds until the next round may begin; 0: at once. */
	get left(): number {
		return Math.max(0, this.#until - this.#clock())
	}

	/** Does what makes up a round. */
	after(round: () => void): void {
		const begin = this.#clock()
		round()
		const end = this.#clock()
		const took = end - begin
		this.#until = took < SHORT_MS ? 0 : end + Math.min(took, MAX_REST_MS)
	}
}
