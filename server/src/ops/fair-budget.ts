interface Waiting {
	readonly bytes: number
	/** Passes on what was taken. */
	readonly grant: (taken: Disposable) => void
}

/**
 * A budget of bytes for work under way. While it is used up, callers wait: tenants by turns, and the calls of one tenant in their
 * order, so that a tenant with many large calls delays another one by a few of them at most.
 */
export class FairBudget {
	readonly #limit: () => number
	/** In the order of their next turns. A tenant without waiting calls has no entry. */
	readonly #tenants = new Map<string, Waiting[]>()
	#used = 0

	/** @param limit - bytes, read anew each time */
	constructor(limit: () => number) {
		this.#limit = limit
	}

	/** Bytes that are taken. */
	get used(): number {
		return this.#used
	}

	/** @returns null when there is no room, or others wait for it */
	tryTake(bytes: number): Disposable | null {
		return this.#tenants.size === 0 && this.#fits(bytes) ? this.#take(bytes) : null
	}

	/**
	 * Resolves when there is room. Work larger than the whole budget is done alone. Disposing the result gives the bytes back.
	 *
	 * @throws the reason of the signal when it aborts before
	 */
	take(tenant: string, bytes: number, signal?: AbortSignal): Promise<Disposable> {
		const taken = this.tryTake(bytes)
		if (taken !== null) return Promise.resolve(taken)
		return new Promise((resolve, reject) => {
			const leave = (): void => {
				this.#remove(tenant, waiting)
				this.#serve()
				reject(signal?.reason as Error)
			}
			const grant = (granted: Disposable): void => {
				signal?.removeEventListener('abort', leave)
				resolve(granted)
			}
			const waiting = { bytes, grant }
			const line = this.#tenants.get(tenant) ?? []
			line.push(waiting)
			this.#tenants.set(tenant, line)
			signal?.addEventListener('abort', leave, { once: true })
			if (signal?.aborted === true) leave()
		})
	}

	#fits(bytes: number): boolean {
		return this.#used === 0 || this.#used + bytes <= this.#limit()
	}

	#take(bytes: number): Disposable {
		this.#used += bytes
		let isTaken = true
		return {
			[Symbol.dispose]: () => {
				if (!isTaken) return
				isTaken = false
				this.#used -= bytes
				this.#serve()
			},
		}
	}

	#serve(): void {
		for (;;) {
			const [next] = this.#tenants
			const [tenant, line] = next ?? []
			const first = line?.[0]
			if (tenant === undefined || line === undefined || first === undefined || !this.#fits(first.bytes)) return
			line.shift()
			// The tenant goes to the end of the round.
			this.#tenants.delete(tenant)
			if (line.length > 0) this.#tenants.set(tenant, line)
			first.grant(this.#take(first.bytes))
		}
	}

	#remove(tenant: string, waiting: Waiting): void {
		const line = this.#tenants.get(tenant)
		const place = line?.indexOf(waiting) ?? -1
		if (line === undefined || place === -1) return
		line.splice(place, 1)
		if (line.length === 0) this.#tenants.delete(tenant)
	}
}
