/** What is open at the moment. */
export class OpenSet<Item> extends Set<Item> {
	readonly #waiting: (() => void)[] = []

	override delete(item: Item): boolean {
		const wasOpen = super.delete(item)
		if (this.size === 0) for (const resolve of this.#waiting.splice(0)) resolve()
		return wasOpen
	}

	/** Resolves when nothing is open. */
	async empty(): Promise<void> {
		if (this.size > 0) await new Promise<void>((resolve) => this.#waiting.push(resolve))
	}
}
