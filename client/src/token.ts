import { PlanstreamError } from '@planstream/shared'
import { ConnectionLost } from './transports/transport.js'

/** The characters that are safe in a header and in a query string. */
const TOKEN = /^[\w.~+/=-]+$/

/** The source of a client's token, consulted for each connection and each call. */
export class TokenSource {
	readonly #given: string | (() => string | Promise<string>)
	#gaveUp: unknown = null

	/**
	 * @param given - the token, or a function that returns one
	 * @throws PlanstreamError `bad_request` at once for a token that no server could have made
	 */
	constructor(given: string | (() => string | Promise<string>)) {
		this.#given = typeof given === 'function' ? given : checkToken(given)
	}

	async ask(): Promise<string> {
		if (typeof this.#given === 'string') return this.#given
		try {
			return checkToken(await this.#given())
		} catch (thrown) {
			this.#gaveUp = thrown
			throw thrown
		}
	}

	/** Tells whether the server refused a token that can be renewed. */
	mayRenew(error: unknown): error is PlanstreamError {
		const refused = error instanceof PlanstreamError && error.code === 'unauthorized' && error !== this.#gaveUp
		return refused && typeof this.#given === 'function'
	}
}

/** Builds the header that carries the token; empty without a token. */
export async function authorize(source: TokenSource | null): Promise<{ readonly authorization?: string }> {
	return source === null ? {} : { authorization: `Bearer ${await source.ask()}` }
}

/** An attempt that failed because the token could not be obtained, which says nothing about the transport. */
export class TokenUnavailable extends ConnectionLost {}

/** Makes the error of a stream whose token could not be obtained: one to retry, unless a PlanstreamError was thrown. */
export function createTokenError(thrown: unknown): PlanstreamError | TokenUnavailable {
	if (thrown instanceof PlanstreamError) return thrown
	return new TokenUnavailable(`Could not get a token: ${thrown instanceof Error ? thrown.message : String(thrown)}`, {
		cause: thrown,
	})
}

function checkToken(token: unknown): string {
	if (typeof token === 'string' && TOKEN.test(token)) return token
	const message = 'token is empty or has invalid characters. Use the key as `planstream keys create` printed it.'
	throw new PlanstreamError('bad_request', message, { path: 'token' })
}
