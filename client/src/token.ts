import { PlanstreamError } from '@planstream/shared'
import { ConnectionLost } from './transports/transport.js'

/** What fits into a header and means the same everywhere. */
const TOKEN = /^[\w.~+/=-]+$/

/** Where a client has its key from: it is asked anew for each connection and each call. */
export class TokenSource {
	readonly #given: string | (() => string | Promise<string>)
	#gaveUp: unknown = null

	/**
	 * @param given - the key, or what gives one
	 * @throws PlanstreamError `bad_request` at once for a key that no server could have made
	 */
	constructor(given: string | (() => string | Promise<string>)) {
		this.#given = typeof given === 'string' ? checked(given) : given
	}

	async ask(): Promise<string> {
		if (typeof this.#given === 'string') return this.#given
		try {
			return checked(await this.#given())
		} catch (thrown) {
			this.#gaveUp = thrown
			throw thrown
		}
	}

	/** Whether a failure is the server's refusal of a key in whose place another may be had. */
	mayRenew(error: unknown): error is PlanstreamError {
		const refused = error instanceof PlanstreamError && error.code === 'unauthorized' && error !== this.#gaveUp
		return refused && typeof this.#given === 'function'
	}
}

/** The header that carries the key; none when there is no key. */
export async function authorization(source: TokenSource | null): Promise<{ readonly authorization?: string }> {
	return source === null ? {} : { authorization: `Bearer ${await source.ask()}` }
}

/** The attempt failed because no key could be had, which says nothing of the transport. */
export class NoToken extends ConnectionLost {}

/** What a failure to give a key means for a stream: another attempt, unless it is a PlanstreamError. */
export function noToken(thrown: unknown): PlanstreamError | NoToken {
	if (thrown instanceof PlanstreamError) return thrown
	return new NoToken(`No token could be had: ${thrown instanceof Error ? thrown.message : String(thrown)}`, { cause: thrown })
}

function checked(token: string): string {
	if (TOKEN.test(token)) return token
	const sentence = 'token is empty or holds characters that no key has. Give the key as `planstream keys create` printed it.'
	throw new PlanstreamError('bad_request', sentence, { path: 'token' })
}
