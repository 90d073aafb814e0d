/** The reading end of a connection. */
export interface Source {
	pause(): void
	resume(): void
}

/** The reading end of a connection that several may hold up; it goes on when none of them does. */
export class Reading {
	readonly #source: Source
	#holds = 0

	constructor(source: Source) {
		this.#source = source
	}

	/** Reads nothing more until it is disposed. */
	hold(): Disposable {
		if (this.#holds++ === 0) this.#source.pause()
		let held = true
		return {
			[Symbol.dispose]: () => {
				if (held && --this.#holds === 0) this.#source.resume()
				held = false
			},
		}
	}
}

/** The calls on one connection: so many are worked on at one time, the others wait, and while they do nothing more is read. */
export class Calls {
	readonly #limit: number
	readonly #reading: Reading
	readonly #waiting: (() => void)[] = []
	#atWork = 0

	constructor(limit: number, reading: Reading) {
		this.#limit = limit
		this.#reading = reading
	}

	async run<Answer>(work: () => Promise<Answer>): Promise<Answer> {
		if (this.#atWork < this.#limit) this.#atWork++
		else await this.#place()
		try {
			return await work()
		} finally {
			const next = this.#waiting.shift()
			if (next === undefined) this.#atWork--
			else next()
		}
	}

	async #place(): Promise<void> {
		using _hold = this.#reading.hold()
		await new Promise<void>((resolve) => this.#waiting.push(resolve))
	}
}
