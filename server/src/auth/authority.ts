import type { IncomingHttpHeaders } from 'node:http'
import { PlanstreamError } from '@planstream/shared'
import { LOCAL_PRINCIPAL, type Principal } from '../hub/principal.js'
import { assertLocal, isLoopbackOrigin } from './loopback.js'

/** Decides who gets in, and as whom; the same for requests and WebSocket upgrades. */
export interface Authority {
	/**
	 * Looks at where a request comes from, before anything else.
	 *
	 * @throws PlanstreamError `forbidden` with the `header` that was refused
	 */
	assertWelcome(headers: IncomingHttpHeaders): void
	/**
	 * Who asks.
	 *
	 * @param token - what the request carries as its key; null for nothing
	 * @throws PlanstreamError `unauthorized`
	 */
	identify(token: string | null): Principal
}

/** Whoever reaches a server without keys is its user, and comes from its own machine. */
export const LOCAL_AUTHORITY: Authority = {
	assertWelcome: assertLocal,
	identify: () => LOCAL_PRINCIPAL,
}

export interface KeyAuthorityOptions {
	/** Asked in order for who holds a token; null says that it is none of theirs. */
	readonly holders: readonly ((token: string) => Principal | null)[]
	/** Origins of pages that may use the server, besides its own and those of its machine. */
	readonly origins: readonly string[]
}

/** Lets in whoever has a key, from any address. */
export function keyAuthority({ holders, origins }: KeyAuthorityOptions): Authority {
	return {
		assertWelcome: (headers) => assertKnownPage(headers, origins),
		identify: (token) => {
			if (token === null) throw new PlanstreamError('unauthorized', NO_KEY)
			for (const find of holders) {
				const principal = find(token)
				if (principal !== null) return principal
			}
			throw new PlanstreamError('unauthorized', WRONG_KEY)
		},
	}
}

const NO_KEY =
	'This server wants a key and the request has none. Send it in the header "Authorization: Bearer KEY"; `planstream keys create` makes one.'
const WRONG_KEY =
	'The key of the request is not valid: it is unknown, was revoked or is over. Send another; `planstream keys create` makes one.'

/** A page's requests carry its origin. A key is never sent by a browser on its own, so this is the second line, not the first. */
function assertKnownPage({ origin, host }: IncomingHttpHeaders, origins: readonly string[]): void {
	if (origin === undefined || origins.includes(origin) || isLoopbackOrigin(origin)) return
	if (URL.canParse(origin) && new URL(origin).host === host) return
	const sentence = `The request comes from a page of "${origin}", which is not known here. Add that origin to PLANSTREAM_ORIGINS to let its pages in.`
	throw new PlanstreamError('forbidden', sentence, { header: 'origin' })
}
