import type { TransportName } from './transport.js'

/** The transport of the next attempt, and the state behind the choice. */
export interface Choice {
	readonly transport: TransportName
	/** The transports that may be used, best first. */
	readonly among: readonly TransportName[]
	/** Whether this client has had a stream over this transport. */
	readonly proven: boolean
	/** Failures in a row before the stream began. */
	readonly failures: number
}

/** Failures that a proven transport may have before another is tried, because the network may have changed. */
export const PATIENCE = 3

/**
 * Makes the first choice: WebSocket where there is one, with SSE and polling as fallbacks, or the transport that the options name.
 *
 * @param remembered - the transport that worked recently, preferred if it may be used
 */
export function chooseFirst(
	wanted: 'auto' | TransportName,
	hasWebSocket: boolean,
	remembered: TransportName | null = null,
): Choice {
	const auto: readonly TransportName[] = hasWebSocket ? ['websocket', 'sse', 'poll'] : ['sse', 'poll']
	const among = wanted === 'auto' ? auto : [wanted]
	const transport = among.find((each) => each === remembered) ?? among[0] ?? 'sse'
	return { transport, among, proven: false, failures: 0 }
}

/** Updates the choice after a stream began. A report about another transport than the chosen one has no effect. */
export function chooseAfterStart(choice: Choice, transport: TransportName): Choice {
	return choice.transport === transport ? { ...choice, proven: true, failures: 0 } : choice
}

/**
 * Updates the choice after an attempt failed before its stream began.
 *
 * @param heldBack - whether a proxy buffers the response, which only polling gets around
 */
export function chooseAfterFailure(choice: Choice, transport: TransportName, heldBack: boolean): Choice {
	if (choice.transport !== transport) return choice
	const failures = choice.failures + 1
	const next = pickNext(choice, heldBack)
	const patient = failures < (choice.proven ? PATIENCE : 1) && next !== 'poll'
	if (next === transport || patient) return { ...choice, failures }
	return { ...choice, transport: next, proven: false, failures: 0 }
}

/** Picks the next transport. Polling is the last resort, for a proxy that buffers: an unreachable server never leads to it. */
function pickNext({ transport, among }: Choice, heldBack: boolean): TransportName {
	if (transport === 'sse' && heldBack && among.includes('poll')) return 'poll'
	const others = among.filter((each) => each !== transport && each !== 'poll')
	return others[0] ?? transport
}

/** Milliseconds a choice outlives its page: by then the user may have left the network that blocks WebSocket. */
export const REMEMBERED_MS = 300_000

/** The part of a page's storage that is used here. */
export type PageStorage = Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>

export interface ChoiceMemoryOptions {
	/** Returns the storage, or throws where the browser denies it. */
	readonly storage: () => PageStorage | null
	/** Address of the server. */
	readonly url: URL
	/** Returns milliseconds since 1970. */
	readonly now: () => number
}

/** Remembers a fallback transport across reloads of a page, so that not every load tries WebSocket in vain. */
export class ChoiceMemory {
	readonly #options: ChoiceMemoryOptions
	readonly #key: string

	constructor(options: ChoiceMemoryOptions) {
		this.#options = options
		this.#key = `planstream ${options.url.href}`
	}

	/** Returns the transport that worked recently; null if unknown. */
	recall(): TransportName | null {
		const [transport, until] = this.#ask((storage) => storage.getItem(this.#key))?.split(' ') ?? []
		const left = Number(until) - this.#options.now()
		// The upper bound keeps a clock that was set back from extending the time.
		return left > 0 && left <= REMEMBERED_MS ? (transport as TransportName) : null
	}

	/** Remembers a proven choice. A remembered choice is not extended, so that the best transport is tried again in time. */
	keep({ transport, among, proven }: Choice): void {
		if (!proven || transport === this.recall()) return
		this.#ask((storage) => {
			if (transport === among[0]) storage.removeItem(this.#key)
			else storage.setItem(this.#key, `${transport} ${this.#options.now() + REMEMBERED_MS}`)
			return null
		})
	}

	/** Uses the storage; null where it is unavailable or full. */
	#ask(question: (storage: PageStorage) => string | null): string | null {
		try {
			const storage = this.#options.storage()
			return storage === null ? null : question(storage)
		} catch {
			return null
		}
	}
}

/** Returns the session storage of the tab; null outside a page. */
export function getPageStorage(): PageStorage | null {
	return 'document' in globalThis ? globalThis.sessionStorage : null
}
