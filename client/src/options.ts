import { PlanstreamError } from '@planstream/shared'
import { type Backoff, type Clock, DEFAULT_BACKOFF, systemClock } from './timing.js'
import { TokenSource } from './token.js'
import type { TransportName } from './transports/transport.js'
import type { WebSocketConstructor } from './transports/trpc-socket.js'

/** How a client reaches its server. Only `url` is needed. */
export interface PlanstreamOptions {
	/** Where the server is: `http:` or `https:`; in a browser also relative to the page. */
	readonly url: string | URL
	/**
	 * The key, or a function that gives one. It is asked anew for each connection and each call, so a key that runs out is replaced on the
	 * way; when the server refuses its key it is asked once more. When it fails, a subscription asks again after the delay; throw a
	 * `PlanstreamError` to give up.
	 * @defaultValue none, for a server without keys
	 */
	readonly token?: string | (() => string | Promise<string>) | undefined
	/**
	 * `auto` is WebSocket, SSE where WebSocket does not get through or does not exist, and polling where a network holds SSE back; the
	 * choice is remembered, in a page for five minutes over its loads.
	 * @defaultValue `'auto'`
	 */
	readonly transport?: 'auto' | TransportName | undefined
	/**
	 * The WebSocket to use where there is none built in, as in Node 20: that of the package `ws` fits.
	 * @defaultValue `globalThis.WebSocket`
	 */
	readonly WebSocket?: WebSocketConstructor | undefined
	/** @defaultValue `globalThis.fetch` */
	readonly fetch?: typeof fetch | undefined
	/**
	 * Milliseconds an attempt may take until the stream begins.
	 * @defaultValue `10_000`
	 */
	readonly connectTimeoutMs?: number | undefined
	/**
	 * Milliseconds between two signs of life; a silence of 2.5 of them is taken as a cut.
	 * @defaultValue `15_000`
	 */
	readonly heartbeatMs?: number | undefined
	/**
	 * The delay between attempts: uniform between 0 and a bound that grows.
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

/** @throws PlanstreamError `bad_request` for options that contradict each other or cannot be meant */
export function settingsOf(options: PlanstreamOptions): Settings {
	const {
		transport = 'auto',
		connectTimeoutMs = 10_000,
		heartbeatMs = 15_000,
		random = Math.random,
		clock = systemClock,
	} = options
	const WebSocket = options.WebSocket ?? globalThis.WebSocket ?? null
	if (transport === 'websocket' && WebSocket === null) {
		const sentence =
			'transport is "websocket", but this runtime has no WebSocket. Pass one as `WebSocket`, or leave `transport` out.'
		throw new PlanstreamError('bad_request', sentence, { path: 'WebSocket' })
	}
	const backoff = { ...DEFAULT_BACKOFF, ...options.backoff }
	for (const [path, value] of Object.entries({ connectTimeoutMs, heartbeatMs, ...backoff })) assertAmount(path, value)
	const fetch: typeof globalThis.fetch = options.fetch ?? ((input, init) => globalThis.fetch(input, init))
	const token = options.token === undefined ? null : new TokenSource(options.token)
	return { url: urlOf(options.url), token, transport, WebSocket, fetch, connectTimeoutMs, heartbeatMs, backoff, random, clock }
}

function assertAmount(path: string, value: number): void {
	if (Number.isFinite(value) && value >= 0) return
	throw new PlanstreamError('bad_request', `${path} is ${value}. Give a number that is not negative.`, { path })
}

function urlOf(given: string | URL): URL {
	const page = typeof location === 'undefined' ? undefined : location.href
	if (!URL.canParse(given, page)) throw badUrl(given)
	const url = new URL(given, page)
	if (url.protocol !== 'http:' && url.protocol !== 'https:') throw badUrl(given)
	return url
}

function badUrl(given: string | URL): PlanstreamError {
	const sentence = `url is "${String(given)}". Give the http: or https: address of a server, such as http://localhost:3000.`
	return new PlanstreamError('bad_request', sentence, { path: 'url' })
}
