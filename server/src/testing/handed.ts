/** What callbacks hand over, as an iterable, in order; it holds whatever a test lets come. */
export class Handed<Item> {
	readonly #items: Item[] = []
	#over: { readonly error?: Error } | null = null
	#wake: () => void = () => undefined

	add(item: Item): void {
		this.#items.push(item)
		this.#wake()
	}

	/** Ends the iterable behind what was added, with an error when there is one; what comes later does not count. */
	end(error?: Error): void {
		this.#over ??= error === undefined ? {} : { error }
		this.#wake()
	}

	async *items(): AsyncGenerator<Item, void, void> {
		for (;;) {
			const next = this.#items.shift()
			if (next !== undefined) yield next
			else if (this.#over !== null) break
			else
				await new Promise<void>((resolve) => {
					this.#wake = resolve
				})
		}
		if (this.#over.error !== undefined) throw this.#over.error
	}
}
