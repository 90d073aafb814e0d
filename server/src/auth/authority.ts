import type { IncomingHttpHeaders } from 'node:http'
import { PlanstreamError } from '@planstream/shared'
import { LOCAL_PRINCIPAL, type Principal } from '../hub/principal.js'
import { bearerToken, upgradeToken } from './credentials.js'
import { type Arrival, assertLocal, isLoopbackOrigin } from './loopback.js'

/** What somebody asks to be let in with. */
export interface AccessRequest {
	/** How they came: by a request, by the upgrade of a WebSocket, or by a call of the router under an adapter that is not this server's. */
	readonly via: 'http' | 'websocket' | 'router'
	/** Of the request or the upgrade; none for a call. */
	readonly headers: IncomingHttpHeaders
	/** A key that is not in the headers: what a client sends over its WebSocket. */
	readonly token: string | null
}

/** Decides who gets in, and as whom; the same for requests and WebSocket upgrades. */
export interface Authority {
	/**
	 * Looks at where a request comes from, before anything else.
	 *
	 * @throws PlanstreamError `forbidden` with what was refused
	 */
	assertWelcome(request: Arrival): void
	/**
	 * Who asks.
	 *
	 * @param ctx - what a host that this server is a part of knows of them; null when there is no host
	 * @throws PlanstreamError `unauthorized`, at once or as a rejection
	 */
	identify(request: AccessRequest, ctx: unknown): Principal | Promise<Principal>
}

/** Whoever reaches a server without keys is its user, and comes from its own machine. */
export const LOCAL_AUTHORITY: Authority = {
	assertWelcome: assertLocal,
	identify: ({ via }) => {
		refuseCalls(via)
		return LOCAL_PRINCIPAL
	},
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
		assertWelcome: ({ headers }) => {
			const { origin } = headers
			if (origin === undefined || !isLoopbackOrigin(origin)) assertKnownPage(headers, origins)
		},
		identify: (request) => {
			refuseCalls(request.via)
			const token = sentToken(request)
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

/**
 * The key a request carries, wherever its transport puts it; null when there is none.
 *
 * @throws PlanstreamError `unauthorized` for a header of another form
 */
export function sentToken({ via, headers, token }: AccessRequest): string | null {
	return (via === 'websocket' ? upgradeToken(headers) : bearerToken(headers)) ?? token
}

/** Nobody but the host knows who calls the router under the host's adapter. */
function refuseCalls(via: AccessRequest['via']): void {
	if (via !== 'router') return
	const sentence =
		'Nobody may call this router, because createPlanstream was given no `authorize`. Give it one that knows your context.'
	throw new PlanstreamError('unauthorized', sentence)
}

/**
 * A page's requests carry its origin. A key is never sent by a browser on its own, so with keys this is the second line, not the first.
 *
 * @throws PlanstreamError `forbidden` for a page that is neither of the server's own host nor of one of these origins
 */
export function assertKnownPage({ origin, host }: IncomingHttpHeaders, origins: readonly string[]): void {
	if (origin === undefined || origins.includes(origin)) return
	if (URL.canParse(origin) && new URL(origin).host === host) return
	const sentence = `The request comes from a page of "${origin}", which is not known here. Add that origin to PLANSTREAM_ORIGINS, or to \`origins\`, to let its pages in.`
	throw new PlanstreamError('forbidden', sentence, { header: 'origin' })
}
