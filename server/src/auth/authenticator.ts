import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { PlanstreamError } from '@planstream/shared'
import { LOCAL_PRINCIPAL, type Principal } from '../hub/principal.js'

/** Prefix of a subprotocol that carries a key: browsers cannot set headers on a WebSocket upgrade. */
const BEARER_PROTOCOL = 'planstream.bearer.'

/**
 * Reads the key from the Authorization header; null when there is none.
 *
 * @throws PlanstreamError `unauthorized` for a header of another form
 */
export function readBearerToken({ authorization }: IncomingHttpHeaders): string | null {
	if (authorization === undefined) return null
	const [, token] = /^bearer +([\w.~+/=-]+) *$/i.exec(authorization) ?? []
	if (token !== undefined) return token
	throw new PlanstreamError('unauthorized', 'The Authorization header is malformed. Send it as "Bearer KEY".')
}

/**
 * Reads the key of a WebSocket upgrade from its header, else from its subprotocol; null when there is none.
 *
 * @throws PlanstreamError `unauthorized` for a header of another form
 */
export function readUpgradeToken(headers: IncomingHttpHeaders): string | null {
	const offered = headers['sec-websocket-protocol']?.split(',').map((protocol) => protocol.trim()) ?? []
	const bearer = offered.find((protocol) => protocol.startsWith(BEARER_PROTOCOL))
	return readBearerToken(headers) ?? bearer?.slice(BEARER_PROTOCOL.length) ?? null
}

/** Subprotocol that a client offers beside the one with its key. */
const PROTOCOL = 'planstream-1'

/** Chooses the subprotocol to accept. It is never one with a key, because proxies may log the response. */
export function chooseProtocol(offered: ReadonlySet<string>): string | false {
	const [first = false] = offered
	const hasKey = [...offered].some((protocol) => protocol.startsWith(BEARER_PROTOCOL))
	return hasKey ? offered.has(PROTOCOL) && PROTOCOL : first
}

/** Tells whether an upgrade offers its key as the only subprotocol. */
function isLoneKey({ via, headers }: AccessRequest): boolean {
	const offered = headers['sec-websocket-protocol']
	return via === 'websocket' && offered !== undefined && offered.startsWith(BEARER_PROTOCOL) && !offered.includes(',')
}

/** Origin of a request: its headers and the address of its peer. */
export interface RequestOrigin {
	readonly headers: IncomingHttpHeaders
	readonly socket: { readonly remoteAddress?: string | undefined }
	/** Target of the request line. */
	readonly url?: string | undefined
	/** Path inside this server, without what it is mounted at; null for an upgrade. */
	readonly path?: string | null
}

/** Host names of the local machine. A server without authentication listens on one of these and rejects requests for any other. */
export const LOOPBACK_HOSTS = ['127.0.0.1', 'localhost', '::1'] as const

const ADVICE =
	'Without authentication, this server only accepts requests from its own machine. Use http://localhost or http://127.0.0.1.'

export function isLoopback(host: string): boolean {
	return LOOPBACK_HOSTS.some((name) => name === host)
}

/**
 * Rejects requests from another machine, a foreign web page, a foreign host name or a proxy. A browser on this machine can be tricked into
 * sending them, and without authentication they would be obeyed. Applies to requests and to WebSocket upgrades.
 *
 * @throws PlanstreamError `forbidden`
 */
function assertLocal({ headers, socket, url = '/', path = null }: RequestOrigin): void {
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
	if (/^https?:/i.test(url) && !isLoopbackUrl(url)) {
		throw new PlanstreamError('forbidden', `The request line names another host than this machine. ${ADVICE}`)
	}
	assertSameSite(headers, path)
	const forwarded = findProxyHeader(headers)
	if (forwarded === undefined) return
	throw new PlanstreamError('forbidden', `The request came through a proxy (header ${forwarded}). ${ADVICE}`, {
		header: forwarded,
	})
}

/** Headers by which proxies say that a request went through them, besides `X-Forwarded-*`. */
const PROXY_HEADERS: ReadonlySet<string> = new Set([
	'cdn-loop',
	'cf-connecting-ip',
	'client-ip',
	'fastly-client-ip',
	'fly-client-ip',
	'forwarded',
	'forwarded-for',
	'proxy-connection',
	'true-client-ip',
	'via',
	'x-client-ip',
	'x-cluster-client-ip',
	'x-envoy-external-address',
	'x-original-forwarded-for',
	'x-originating-ip',
	'x-real-ip',
	'x-remote-addr',
	'x-remote-ip',
])

function findProxyHeader(headers: IncomingHttpHeaders): string | undefined {
	return Object.keys(headers).find((name) => PROXY_HEADERS.has(name) || name.startsWith('x-forwarded-'))
}

/** The sender of a request: its headers and the address of its socket. */
export interface Peer {
	readonly headers: IncomingHttpHeaders
	readonly address: string | undefined
}

/** Tells whether a request comes from a program on this machine, and through no proxy. */
export function isLocalPeer({ headers, address = '' }: Peer): boolean {
	return isLoopbackAddress(address) && findProxyHeader(headers) === undefined
}

/** Paths of the pages for people: a link on another site may open them, because they tell nothing about plans. */
const PAGES: ReadonlySet<string> = new Set(['/docs', '/docs/'])

/**
 * Rejects requests that a page of another site makes a browser send without an origin, such as images and links: how long an answer takes
 * would tell that page which plans exist.
 */
function assertSameSite({ origin, ...headers }: IncomingHttpHeaders, path: string | null): void {
	if (headers['sec-fetch-site'] !== 'cross-site' || origin !== undefined) return
	if (headers['sec-fetch-mode'] === 'navigate' && path !== null && PAGES.has(path)) return
	throw new PlanstreamError('forbidden', `The request comes from a page of another site. ${ADVICE}`, {
		header: 'sec-fetch-site',
	})
}

/** Tells whether this machine serves the pages of an origin. */
function isLoopbackOrigin(origin: string): boolean {
	return /^https?:/.test(origin) && isLoopbackUrl(origin)
}

/** Tells whether an address is on this machine: IPv4, IPv6, or IPv4 mapped into IPv6. */
function isLoopbackAddress(address: string): boolean {
	return address === '::1' || /^(::ffff:)?127\.\d+\.\d+\.\d+$/.test(address)
}

function isLoopbackUrl(text: string): boolean {
	if (!URL.canParse(text)) return false
	const { hostname } = new URL(text)
	return isLoopback(hostname.startsWith('[') ? hostname.slice(1, -1) : hostname)
}

/** Credentials of a request, a WebSocket upgrade or a router call. */
export interface AccessRequest {
	/** How the call arrived: as a request, as a WebSocket upgrade, or through the router under a host's own adapter. */
	readonly via: 'http' | 'websocket' | 'router'
	/** Headers of the request or the upgrade; empty for a router call. */
	readonly headers: IncomingHttpHeaders
	/** A key outside the headers, which a client sends over its WebSocket. */
	readonly token: string | null
	/** Address of the peer; absent for a router call. */
	readonly address?: string | undefined
}

/** Authenticates requests and WebSocket upgrades by the same rules. */
export interface Authenticator {
	/**
	 * Checks where a request comes from, before anything else.
	 *
	 * @throws PlanstreamError `forbidden` with the header or the address that was rejected
	 */
	checkOrigin(request: RequestOrigin): void
	/**
	 * Identifies the caller.
	 *
	 * @param ctx - context of the application that hosts this server; null without one
	 * @throws PlanstreamError `unauthorized`, at once or as a rejection
	 */
	identify(request: AccessRequest, ctx: unknown): Principal | Promise<Principal>
}

/** Accepts local requests only, all as the one local user: for a server without keys. */
export const LOCAL_AUTHENTICATOR: Authenticator = {
	checkOrigin: assertLocal,
	identify: ({ via }) => {
		refuseRouterCalls(via)
		return LOCAL_PRINCIPAL
	},
}

export interface KeyAuthenticatorOptions {
	/** Lookups of a token, tried in order; null means that the token is unknown. */
	readonly holders: readonly ((token: string, peer: Peer) => Principal | null)[]
	/** Origins of pages that may use the server, besides its own and those of this machine. */
	readonly origins: readonly string[]
	/** Tells of clients that should be changed. @defaultValue nothing is told */
	readonly warn?: (message: string) => void
}

/** Creates an authenticator that accepts requests with a valid key, from any address. */
export function createKeyAuthenticator({ holders, origins, warn = () => undefined }: KeyAuthenticatorOptions): Authenticator {
	/** Ids of keys that their clients offered as the only subprotocol; there are at most as many as keys. */
	const lone = new Set<string>()
	const warnOnce = ({ actor }: Principal): void => {
		if (lone.has(actor.id)) return
		lone.add(actor.id)
		warn(`A WebSocket client offers the key ${actor.id} as its only subprotocol. Have it offer ${PROTOCOL} too.`)
	}
	const known = origins.map(normalizeOrigin)
	return {
		checkOrigin: ({ headers }) => {
			const { origin } = headers
			if (origin === undefined || !isLoopbackOrigin(origin)) assertKnownPage(headers, known)
		},
		identify: (request) => {
			refuseRouterCalls(request.via)
			const token = readToken(request)
			if (token === null) throw new PlanstreamError('unauthorized', NO_KEY)
			for (const find of holders) {
				const principal = find(token, { headers: request.headers, address: request.address })
				if (principal === null) continue
				if (isLoneKey(request)) warnOnce(principal)
				return principal
			}
			throw new PlanstreamError('unauthorized', WRONG_KEY)
		},
	}
}

const NO_KEY = 'The request has no API key. Send one as "Authorization: Bearer KEY"; `planstream keys create` makes one.'
const WRONG_KEY = 'The API key is unknown, revoked or expired. Send a valid one; `planstream keys create` makes one.'

/**
 * Reads the key from wherever the transport carries it; null when there is none.
 *
 * @throws PlanstreamError `unauthorized` for a header of another form
 */
export function readToken({ via, headers, token }: AccessRequest): string | null {
	return (via === 'websocket' ? readUpgradeToken(headers) : readBearerToken(headers)) ?? token
}

/** Rejects router calls: under a host's adapter, only the host can identify the caller. */
function refuseRouterCalls(via: AccessRequest['via']): void {
	if (via !== 'router') return
	const message =
		'Router calls need the option `authorize` of createPlanstream, which is missing. Pass one that reads your context.'
	throw new PlanstreamError('unauthorized', message)
}

/**
 * Rejects requests from pages of unknown origins. A browser never sends a key on its own, so with keys this is only the second line of defence.
 *
 * @throws PlanstreamError `forbidden` for a page that is neither on the server's own host nor of one of these origins
 */
export function assertKnownPage({ origin, host }: IncomingHttpHeaders, origins: readonly string[]): void {
	if (origin === undefined || origins.includes(origin)) return
	if (isSameHost(origin, host)) return
	const message = `Pages of "${origin}" may not use this server. Add the origin to PLANSTREAM_ORIGINS or to \`origins\` to allow them.`
	throw new PlanstreamError('forbidden', message, { header: 'origin' })
}

/** Writes an origin as browsers do: in lower case and without the port that its scheme has by default. */
export function normalizeOrigin(origin: string): string {
	return URL.canParse(origin) ? new URL(origin).origin : origin
}

/** Compares a page's origin with a Host header as URLs, in which case and the default port make no difference. */
function isSameHost(origin: string, host = ''): boolean {
	if (!URL.canParse(origin)) return false
	const { protocol, host: own } = new URL(origin)
	const url = `${protocol}//${host}`
	return URL.canParse(url) && new URL(url).host === own
}

const SINGLE_HEADERS = ['host', 'authorization'] as const

/**
 * Rejects a request with several Host headers, as RFC 9112, 3.2 requires, or several keys: a proxy in front of this server may have checked
 * another one.
 *
 * @throws PlanstreamError `bad_request`
 */
export function assertSingleHeaders({ rawHeaders }: Pick<IncomingMessage, 'rawHeaders'>): void {
	for (const header of SINGLE_HEADERS) {
		const count = rawHeaders.filter((name, at) => at % 2 === 0 && name.toLowerCase() === header).length
		if (count <= 1) continue
		const name = header === 'host' ? 'Host' : 'Authorization'
		throw new PlanstreamError('bad_request', `The request has ${count} ${name} headers. Send exactly one.`, { path: header })
	}
}
