/** A map that forgets what was used longest ago. */
export class LruMap<Value> {
	readonly #entries = new Map<string, Value>()
	readonly #capacity: number

	constructor(capacity: number) {
		this.#capacity = capacity
	}

	get(key: string): Value | undefined {
		const value = this.#entries.get(key)
		if (value === undefined) return undefined
		this.#entries.delete(key)
		this.#entries.set(key, value)
		return value
	}

	set(key: string, value: Value): void {
		this.#entries.delete(key)
		this.#entries.set(key, value)
		if (this.#entries.size <= this.#capacity) return
		for (const oldest of this.#entries.keys()) {
			this.#entries.delete(oldest)
			return
		}
	}

	delete(key: string): void {
		this.#entries.delete(key)
	}
}
