import type { Choice } from './fallback.js'
import type { TransportName } from './transport.js'

/** How long a choice outlives its page, in milliseconds: the network that lets no WebSocket through may be left by then. */
export const REMEMBERED_MS = 300_000

/** As much of a page's storage as this needs. */
export type PageStorage = Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>

export interface ChoiceMemoryOptions {
	/** Gives the storage, or throws where a page may have none. */
	readonly storage: () => PageStorage | null
	/** Of the server. */
	readonly url: URL
	/** Milliseconds since 1970. */
	readonly now: () => number
}

/** Keeps what got through in place of a WebSocket over loads of a page, so that each of them does not try in vain again. */
export class ChoiceMemory {
	readonly #options: ChoiceMemoryOptions
	readonly #key: string

	constructor(options: ChoiceMemoryOptions) {
		this.#options = options
		this.#key = `planstream ${options.url.href}`
	}

	/** What got through lately; null: nobody knows. */
	recall(): TransportName | null {
		const [transport, until] = this.#ask((storage) => storage.getItem(this.#key))?.split(' ') ?? []
		const left = Number(until) - this.#options.now()
		// A clock that was set back must not make it last longer.
		return left > 0 && left <= REMEMBERED_MS ? (transport as TransportName) : null
	}

	/** Remembers a choice that has worked. What is remembered already does not last longer for it, so the best is tried again in time. */
	keep({ transport, among, proven }: Choice): void {
		if (!proven || transport === this.recall()) return
		this.#ask((storage) => {
			if (transport === among[0]) storage.removeItem(this.#key)
			else storage.setItem(this.#key, `${transport} ${this.#options.now() + REMEMBERED_MS}`)
			return null
		})
	}

	/** A storage that is forbidden or full remembers nothing. */
	#ask(question: (storage: PageStorage) => string | null): string | null {
		try {
			const storage = this.#options.storage()
			return storage === null ? null : question(storage)
		} catch {
			return null
		}
	}
}

/** The storage of this tab; outside of a page there is none. */
export function pageStorage(): PageStorage | null {
	return 'document' in globalThis ? globalThis.sessionStorage : null
}
