/**
 * Hands items that arrive on their own to one reader that takes them at its pace. It is bounded: what is over the
 * bound is not taken, and the reader finds `overflowed` when it has read the rest.
 */
export class Inbox<Item> {
	readonly #capacity: number
	readonly #waiting: { readonly item: Item; readonly size: number }[] = []
	#size = 0
	#overflowed = false
	#ended: { readonly error: Error | null } | null = null
	#wake: () => void = () => {}

	/** @param capacity - the bound, in the unit of `push` */
	constructor(capacity: number) {
		this.#capacity = capacity
	}

	get overflowed(): boolean {
		return this.#overflowed
	}

	/** @returns false when the item was not taken, because the inbox is full or has ended */
	push(item: Item, size: number): boolean {
		if (this.#ended) return false
		if (this.#size > this.#capacity) {
			this.#overflowed = true
			this.end()
			return false
		}
		this.#size += size
		this.#waiting.push({ item, size })
		this.#wake()
		return true
	}

	/** Nothing more comes; the reader gets what waits, then the error if there is one. The first end counts. */
	end(error: Error | null = null): void {
		this.#ended ??= { error }
		this.#wake()
	}

	async *read(): AsyncGenerator<Item, void, undefined> {
		for (;;) {
			for (const { item, size } of this.#waiting.splice(0)) {
				this.#size -= size
				yield item
			}
			if (this.#waiting.length > 0) continue
			if (this.#ended?.error) throw this.#ended.error
			if (this.#ended) return
			await new Promise<void>((resolve) => {
				this.#wake = resolve
			})
		}
	}
}
