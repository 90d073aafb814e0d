import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { PlanstreamError } from '@planstream/shared'
import { LOCAL_PRINCIPAL, type Principal } from '../hub/principal.js'

/** Before the key in a subprotocol, which is where a browser can put one at a WebSocket upgrade. */
const BEARER_PROTOCOL = 'planstream.bearer.'

/**
 * The key a request carries in its header; null when it has none.
 *
 * @throws PlanstreamError `unauthorized` for a header of another form
 */
export function readBearerToken({ authorization }: IncomingHttpHeaders): string | null {
	if (authorization === undefined) return null
	const [, token] = /^bearer +([\w.~+/=-]+) *$/i.exec(authorization) ?? []
	if (token !== undefined) return token
	throw new PlanstreamError('unauthorized', 'The header Authorization is not of the form "Bearer KEY". Send it so.')
}

/**
 * The key a WebSocket upgrade carries in its header, else in its subprotocol; null when it has none.
 *
 * @throws PlanstreamError `unauthorized` for a header of another form
 */
export function readUpgradeToken(headers: IncomingHttpHeaders): string | null {
	const offered = headers['sec-websocket-protocol']?.split(',').map((protocol) => protocol.trim()) ?? []
	const bearer = offered.find((protocol) => protocol.startsWith(BEARER_PROTOCOL))
	return readBearerToken(headers) ?? bearer?.slice(BEARER_PROTOCOL.length) ?? null
}

/** The subprotocol that is agreed to: one without a key when there is one, because what is answered may be logged on its way. */
export function chooseProtocol(offered: ReadonlySet<string>): string | false {
	const [first = false] = offered
	return [...offered].find((protocol) => !protocol.startsWith(BEARER_PROTOCOL)) ?? first
}

/** What a request says of where it comes from. */
export interface RequestOrigin {
	readonly headers: IncomingHttpHeaders
	readonly socket: { readonly remoteAddress?: string | undefined }
}

/** Names of this machine for itself. A server without authentication listens on one of these, and takes requests to no other. */
export const LOOPBACK_HOSTS = ['127.0.0.1', 'localhost', '::1'] as const

const ADVICE = 'Without authentication this server answers programs and pages of its own machine only; ask for http://localhost.'

export function isLoopback(host: string): boolean {
	return LOOPBACK_HOSTS.some((name) => name === host)
}

/**
 * Refuses requests that come from another machine, through a foreign web page, a foreign name or a proxy: a browser on this machine can be
 * made to send them, and without authentication they would be obeyed. For requests and for WebSocket upgrades alike.
 *
 * @throws PlanstreamError `forbidden`
 */
function assertLocal({ headers, socket }: RequestOrigin): void {
	const { host, origin } = headers
	const { remoteAddress = '' } = socket
	if (!isLoopbackAddress(remoteAddress)) {
		throw new PlanstreamError('forbidden', `The request comes from the address "${remoteAddress}". ${ADVICE}`, {
			address: remoteAddress,
		})
	}
	if (host === undefined || !isLoopbackUrl(`http://${host}`)) {
		throw new PlanstreamError('forbidden', `The request is for the host "${host ?? ''}". ${ADVICE}`, { header: 'host' })
	}
	if (origin !== undefined && !isLoopbackOrigin(origin)) {
		throw new PlanstreamError('forbidden', `The request comes from a page of "${origin}". ${ADVICE}`, { header: 'origin' })
	}
	const forwarded = Object.keys(headers).find((name) => name === 'forwarded' || name.startsWith('x-forwarded-'))
	if (forwarded === undefined) return
	throw new PlanstreamError('forbidden', `The request came through a proxy, as its header ${forwarded} says. ${ADVICE}`, {
		header: forwarded,
	})
}

/** Whether a page of this origin is served by this machine. */
function isLoopbackOrigin(origin: string): boolean {
	return /^https?:/.test(origin) && isLoopbackUrl(origin)
}

/** Whether a peer of this address is on this machine, by IPv4, IPv6 or the one in the other. */
function isLoopbackAddress(address: string): boolean {
	return address === '::1' || /^(::ffff:)?127\.\d+\.\d+\.\d+$/.test(address)
}

function isLoopbackUrl(text: string): boolean {
	if (!URL.canParse(text)) return false
	const { hostname } = new URL(text)
	return isLoopback(hostname.startsWith('[') ? hostname.slice(1, -1) : hostname)
}

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
export interface Authenticator {
	/**
	 * Looks at where a request comes from, before anything else.
	 *
	 * @throws PlanstreamError `forbidden` with what was refused
	 */
	checkOrigin(request: RequestOrigin): void
	/**
	 * Who asks.
	 *
	 * @param ctx - what a host that this server is a part of knows of them; null when there is no host
	 * @throws PlanstreamError `unauthorized`, at once or as a rejection
	 */
	identify(request: AccessRequest, ctx: unknown): Principal | Promise<Principal>
}

/** Whoever reaches a server without keys is its user, and comes from its own machine. */
export const LOCAL_AUTHENTICATOR: Authenticator = {
	checkOrigin: assertLocal,
	identify: ({ via }) => {
		refuseRouterCalls(via)
		return LOCAL_PRINCIPAL
	},
}

export interface KeyAuthenticatorOptions {
	/** Asked in order for who holds a token; null says that it is none of theirs. */
	readonly holders: readonly ((token: string) => Principal | null)[]
	/** Origins of pages that may use the server, besides its own and those of its machine. */
	readonly origins: readonly string[]
}

/** Lets in whoever has a key, from any address. */
export function createKeyAuthenticator({ holders, origins }: KeyAuthenticatorOptions): Authenticator {
	return {
		checkOrigin: ({ headers }) => {
			const { origin } = headers
			if (origin === undefined || !isLoopbackOrigin(origin)) assertKnownPage(headers, origins)
		},
		identify: (request) => {
			refuseRouterCalls(request.via)
			const token = readToken(request)
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
export function readToken({ via, headers, token }: AccessRequest): string | null {
	return (via === 'websocket' ? readUpgradeToken(headers) : readBearerToken(headers)) ?? token
}

/** Nobody but the host knows who calls the router under the host's adapter. */
function refuseRouterCalls(via: AccessRequest['via']): void {
	if (via !== 'router') return
	const message =
		'Nobody may call this router, because createPlanstream was given no `authorize`. Give it one that knows your context.'
	throw new PlanstreamError('unauthorized', message)
}

/**
 * A page's requests carry its origin. A key is never sent by a browser on its own, so with keys this is the second line, not the first.
 *
 * @throws PlanstreamError `forbidden` for a page that is neither of the server's own host nor of one of these origins
 */
export function assertKnownPage({ origin, host }: IncomingHttpHeaders, origins: readonly string[]): void {
	if (origin === undefined || origins.includes(origin)) return
	if (URL.canParse(origin) && new URL(origin).host === host) return
	const message = `The request comes from a page of "${origin}", which is not known here. Add that origin to PLANSTREAM_ORIGINS, or to \`origins\`, to let its pages in.`
	throw new PlanstreamError('forbidden', message, { header: 'origin' })
}

/**
 * Refuses a request that names its host twice, as RFC 9112, 3.2 asks: what stands before this server may have looked at the other one.
 *
 * @throws PlanstreamError `bad_request`
 */
export function assertOneHost({ rawHeaders }: Pick<IncomingMessage, 'rawHeaders'>): void {
	const hosts = rawHeaders.filter((name, at) => at % 2 === 0 && name.toLowerCase() === 'host').length
	if (hosts <= 1) return
	const message = `The request has ${hosts} Host headers, and nobody can tell which of them it means. Send one.`
	throw new PlanstreamError('bad_request', message, { path: 'host' })
}
