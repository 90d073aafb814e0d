import { PlanstreamError } from '@planstream/shared'
import { Cut } from './transports/transport.js'

/** Where a client has its key from; null for a server that wants none. */
export type TokenSource = (() => Promise<string>) | null

/** What fits into a header and means the same everywhere. */
const TOKEN = /^[\w.~+/=-]+$/

/**
 * Asks for the key anew each time.
 *
 * @param token - the key, or what gives one
 * @throws PlanstreamError `bad_request` at once for a key that no server could have made
 */
export function tokenSource(token: string | (() => string | Promise<string>) | undefined): TokenSource {
	if (token === undefined) return null
	if (typeof token === 'function') return async () => checked(await token())
	checked(token)
	return () => Promise.resolve(token)
}

/** The header that carries the key; none when there is no key. */
export async function authorization(source: TokenSource): Promise<{ readonly authorization?: string }> {
	return source === null ? {} : { authorization: `Bearer ${await source()}` }
}

/** The attempt failed because no key could be had, which says nothing of the transport. */
export class NoToken extends Cut {}

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
