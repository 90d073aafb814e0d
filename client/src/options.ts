import { PlanstreamError } from '@planstream/shared'
import { dropQuery } from './http.js'
import { type Backoff, type Clock, DEFAULT_BACKOFF, limitDelays, systemClock } from './timing.js'
import { TokenSource } from './token.js'
import type { TransportName } from './transports/transport.js'
import type { WebSocketConstructor } from './transports/trpc-socket.js'

/** The options of a client. Only `url` is required. */
export interface PlanstreamClientOptions {
	/** Address of the server, `http:` or `https:`, without user, query or fragment. In a browser it may be relative to the page. */
	readonly url: string | URL
	/**
	 * The token, or a function that returns one. The function runs for each connection and each call, so an expiring token is replaced in
	 * time, and once more when the server refuses the token. If it fails, a subscription tries again after the backoff delay; throw a
	 * `PlanstreamError` to give up.
	 * @defaultValue none, for a server without API keys
	 */
	readonly token?: string | (() => string | Promise<string>) | undefined
	/**
	 * `auto` uses WebSocket, falls back to SSE where WebSocket is blocked or missing, and to polling where a proxy buffers SSE. The
	 * client remembers its choice; in a browser tab it survives reloads for five minutes.
	 * @defaultValue `'auto'`
	 */
	readonly transport?: 'auto' | TransportName | undefined
	/**
	 * The WebSocket class to use where there is none built in, as in Node 20; the one of the package `ws` fits.
	 * @defaultValue `globalThis.WebSocket`
	 */
	readonly WebSocket?: WebSocketConstructor | undefined
	/** @defaultValue `globalThis.fetch` */
	readonly fetch?: typeof fetch | undefined
	/**
	 * Milliseconds an attempt may take until its stream begins.
	 * @defaultValue `10_000`
	 */
	readonly connectTimeoutMs?: number | undefined
	/**
	 * Milliseconds between heartbeats. After a silence of 2.5 of them the connection counts as lost.
	 * @defaultValue `15_000`
	 */
	readonly heartbeatMs?: number | undefined
	/**
	 * The delay between attempts: uniform between 0 and a growing bound.
	 * @defaultValue `{ initialMs: 500, factor: 2, maxMs: 30_000 }`
	 */
	readonly backoff?: Partial<Backoff> | undefined
	/** @defaultValue `Math.random` */
	readonly random?: (() => number) | undefined
	/** @defaultValue the clock of the runtime */
	readonly clock?: Clock | undefined
}

/** The options with every default filled in. */
export interface Settings {
	readonly url: URL
	readonly token: TokenSource | null
	readonly transport: 'auto' | TransportName
	readonly WebSocket: WebSocketConstructor | null
	readonly fetch: typeof fetch
	readonly connectTimeoutMs: number
	readonly heartbeatMs: number
	readonly backoff: Backoff
	readonly random: () => number
	readonly clock: Clock
}

/** @throws PlanstreamError `bad_request` for invalid or contradictory options */
export function readSettings(options: PlanstreamClientOptions): Settings {
	const {
		transport = 'auto',
		connectTimeoutMs = 10_000,
		heartbeatMs = 15_000,
		random = Math.random,
		clock = systemClock,
	} = options
	const WebSocket = options.WebSocket ?? globalThis.WebSocket ?? null
	if (transport === 'websocket' && WebSocket === null) {
		const message = 'transport is "websocket", but this runtime has no WebSocket. Pass one as `WebSocket`, or omit `transport`.'
		throw new PlanstreamError('bad_request', message, { path: 'WebSocket' })
	}
	const {
		initialMs = DEFAULT_BACKOFF.initialMs,
		factor = DEFAULT_BACKOFF.factor,
		maxMs = DEFAULT_BACKOFF.maxMs,
	} = options.backoff ?? {}
	const backoff = { initialMs, factor, maxMs }
	for (const [path, value] of Object.entries({ connectTimeoutMs, heartbeatMs, ...backoff })) assertAmount(path, value)
	const fetch: typeof globalThis.fetch = options.fetch ?? ((input, init) => globalThis.fetch(input, init))
	const token = options.token === undefined ? null : new TokenSource(options.token)
	return {
		url: parseUrl(options.url),
		token,
		transport,
		WebSocket,
		fetch,
		connectTimeoutMs,
		heartbeatMs,
		backoff,
		random,
		clock: limitDelays(clock),
	}
}

/** @throws PlanstreamError `bad_request` unless the value is a number that is not negative; infinity is as long as can be */
export function assertAmount(path: string, value: number): void {
	if (typeof value === 'number' && value >= 0) return
	throw new PlanstreamError('bad_request', `${path} is ${value}. Use a number that is not negative.`, { path })
}

function parseUrl(given: string | URL): URL {
	const page = typeof location === 'undefined' ? undefined : dropQuery(location.href)
	if (!URL.canParse(given, page)) throw createUrlError(given)
	const url = new URL(given, page)
	if (url.protocol !== 'http:' && url.protocol !== 'https:') throw createUrlError(given)
	if (url.username !== '' || url.password !== '') throw createPartError('a user name or password', 'Pass a key as `token`.')
	if (url.search !== '') throw createPartError('a query', 'Remove what follows "?".')
	if (url.hash !== '') throw createPartError('a fragment', 'Remove what follows "#".')
	return url
}

/** Makes the error for a part that no request would carry. The address stays out of it, because that part may be a secret. */
function createPartError(part: string, advice: string): PlanstreamError {
	return new PlanstreamError('bad_request', `url has ${part}, which is not sent. ${advice}`, { path: 'url' })
}

function createUrlError(given: string | URL): PlanstreamError {
	const message = `url is "${String(given)}". Use the http: or https: address of a server, such as http://localhost:3000.`
	return new PlanstreamError('bad_request', message, { path: 'url' })
}
