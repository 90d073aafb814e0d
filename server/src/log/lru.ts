/** A map that evicts the least recently used entries beyond its capacity. */
export class LruMap<Value> {
	readonly #entries = new Map<string, { readonly value: Value; readonly weight: number }>()
	readonly #capacity: () => number
	readonly #weigh: (value: Value) => number
	#weight = 0

	/**
	 * @param capacity - returns the limit on the total weight
	 * @param weigh - computes the weight of a value, which must not change while it is kept
	 * @defaultValue every value weighs 1
	 */
	constructor(capacity: () => number, weigh: (value: Value) => number = () => 1) {
		this.#capacity = capacity
		this.#weigh = weigh
	}

	get size(): number {
		return this.#entries.size
	}

	get weight(): number {
		return this.#weight
	}

	get(key: string): Value | undefined {
		const entry = this.#entries.get(key)
		if (entry === undefined) return undefined
		this.#entries.delete(key)
		this.#entries.set(key, entry)
		return entry.value
	}

	set(key: string, value: Value): void {
		this.delete(key)
		const weight = this.#weigh(value)
		this.#entries.set(key, { value, weight })
		this.#weight += weight
		for (const oldest of this.#entries.keys()) {
			if (this.#weight <= this.#capacity()) return
			this.delete(oldest)
		}
	}

	delete(key: string): void {
		const entry = this.#entries.get(key)
		if (entry === undefined) return
		this.#entries.delete(key)
		this.#weight -= entry.weight
	}
}
