/** Limit on the keys that have a bucket of their own. */
const MAX_KEYS = 65_536
/** Entries looked at to make room for a new one. */
const EVICTION_TRIES = 8
/** Bucket of the keys for which there is no room. */
const COMMON = ''

/**
 * Token buckets, one number for each key: the time at which its bucket is full again (GCRA). A bucket is dropped only when it is full, so
 * nobody frees a punished key by inventing others; those for which there is no room share one bucket.
 */
export class RateLimiter {
	readonly #clock: () => number
	/** In the order of their last use. */
	readonly #fullAt = new Map<string, number>()

	/** @param clock - a time in milliseconds that never goes back */
	constructor(clock: () => number) {
		this.#clock = clock
	}

	/** Tells whether a key has a token left, and takes none. */
	has(key: string, perSecond: number, burst: number): boolean {
		if (perSecond === Number.POSITIVE_INFINITY) return true
		const now = this.#clock()
		return Math.max(this.#fullAt.get(key) ?? now, now) + 1000 / perSecond - now <= (burst * 1000) / perSecond
	}

	/** Takes a token. @returns false when there is none */
	take(key: string, perSecond: number, burst: number): boolean {
		if (perSecond === Number.POSITIVE_INFINITY) return true
		const own = this.#fullAt.has(key) || this.#makeRoom() ? key : COMMON
		if (!this.has(own, perSecond, burst)) return false
		const now = this.#clock()
		const fullAt = Math.max(this.#fullAt.get(own) ?? now, now) + 1000 / perSecond
		this.#fullAt.delete(own)
		this.#fullAt.set(own, fullAt)
		return true
	}

	/** Number of buckets. */
	get size(): number {
		return this.#fullAt.size
	}

	#makeRoom(): boolean {
		if (this.#fullAt.size < MAX_KEYS) return true
		const now = this.#clock()
		let tries = EVICTION_TRIES
		for (const [key, fullAt] of this.#fullAt) {
			if (fullAt <= now) this.#fullAt.delete(key)
			if (--tries === 0) break
		}
		return this.#fullAt.size < MAX_KEYS
	}
}
