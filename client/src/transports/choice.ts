import type { TransportName } from './transport.js'

/** Which transport the next attempt uses. */
export interface Choice {
	readonly transport: TransportName
	/** Those that may be used, the best first. */
	readonly among: readonly TransportName[]
	/** Whether this client has had a stream over it. */
	readonly proven: boolean
	/** Failures before the stream began, in a row. */
	readonly failures: number
}

/** A transport that has worked gets this many failures before another one is tried; a network may have changed. */
export const PATIENCE = 3

/**
 * WebSocket when there is one, with SSE and polling behind it; or the one that was asked for.
 *
 * @param remembered - what got through lately, to begin with if it may be used
 */
export function firstChoice(
	wanted: 'auto' | TransportName,
	hasWebSocket: boolean,
	remembered: TransportName | null = null,
): Choice {
	const auto: readonly TransportName[] = hasWebSocket ? ['websocket', 'sse', 'poll'] : ['sse', 'poll']
	const among = wanted === 'auto' ? auto : [wanted]
	const transport = among.find((each) => each === remembered) ?? among[0] ?? 'sse'
	return { transport, among, proven: false, failures: 0 }
}

/** A stream began: the choice is remembered. Word from a transport that is no longer chosen changes nothing. */
export function afterStart(choice: Choice, transport: TransportName): Choice {
	return choice.transport === transport ? { ...choice, proven: true, failures: 0 } : choice
}

/**
 * An attempt failed before its stream began.
 *
 * @param heldBack - the answer came to nothing because something on the way holds it back, which polling alone gets around
 */
export function afterFailure(choice: Choice, transport: TransportName, heldBack: boolean): Choice {
	if (choice.transport !== transport) return choice
	const failures = choice.failures + 1
	const next = nextOf(choice, heldBack)
	const patient = failures < (choice.proven ? PATIENCE : 1) && next !== 'poll'
	if (next === transport || patient) return { ...choice, failures }
	return { ...choice, transport: next, proven: false, failures: 0 }
}

/** Polling is the last resort: a server that is merely away leads nobody there. */
function nextOf({ transport, among }: Choice, heldBack: boolean): TransportName {
	if (transport === 'sse' && heldBack && among.includes('poll')) return 'poll'
	const others = among.filter((each) => each !== transport && each !== 'poll')
	return others[0] ?? transport
}

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
