import { PlanstreamError } from '@planstream/shared'
import { errorOfResponse, retryAfterMs } from './problem.js'
import { type Backoff, backoffDelay, type Clock, type Lifetime, linkedController, pause } from './timing.js'
import { authorization, type TokenSource } from './token.js'
import type { Calling } from './types.js'

/** A route with an input filled in: the address, and what stays for the body. */
export interface FilledRoute {
	readonly url: string
	readonly body: string | null
}

/**
 * Puts an input where its route wants it: path fields into the path, the rest into the query of a GET and the body
 * of a POST. A list in a query is repeated.
 *
 * @param base - URL of the server, with or without a path
 */
export function fillRoute(base: URL, { method, path }: { method: string; path: string }, input: object): FilledRoute {
	const rest = new Map<string, unknown>(Object.entries(input))
	const filled = path.replace(/\{(\w+)\}/g, (_, name: string) => {
		const value = String(rest.get(name))
		rest.delete(name)
		return encodeURIComponent(value)
	})
	const url = addressOf(base, filled)
	if (method === 'POST') return { url: url.href, body: JSON.stringify(Object.fromEntries(rest)) }
	for (const [name, value] of rest) {
		for (const each of Array.isArray(value) ? value : [value]) {
			if (each !== undefined) url.searchParams.append(name, String(each))
		}
	}
	return { url: url.href, body: null }
}

/** An address below the server's own, which may have a path of its own behind a proxy. */
export function addressOf(base: URL, path: string): URL {
	const address = new URL(base)
	address.pathname = `${base.pathname.replace(/\/$/, '')}${path}`
	address.search = ''
	address.hash = ''
	return address
}

export interface CallsOptions {
	readonly url: URL
	readonly token: TokenSource | null
	readonly fetch: typeof fetch
	readonly scope: Lifetime
}

const MEDIA_TYPE = 'application/json'

/** Queries and commands over HTTP, one attempt each; one whose key was refused is made once more with the key that is given then. */
export function httpCalls(options: CallsOptions): Calling {
	const call = attempts(options)
	return async (...request) => {
		options.scope.assertOpen()
		try {
			return await call(...request)
		} catch (error) {
			if (options.token?.mayRenew(error)) return call(...request)
			throw error
		}
	}
}

function attempts({ url: base, token, fetch }: CallsOptions): Calling {
	return async <Output>(route: Parameters<Calling>[0], input: object, { signal }: Parameters<Calling>[2] = {}) => {
		const { url, body } = fillRoute(base, route, input)
		const content = body === null ? {} : { 'content-type': MEDIA_TYPE }
		const headers = { accept: MEDIA_TYPE, ...content, ...(await authorization(token)) }
		const response = await fetch(url, { method: route.method, headers, body, signal: signal ?? null }).catch((cause: unknown) => {
			signal?.throwIfAborted()
			throw unreachable(`${base.origin} could not be reached. Is the server running, and is this its address?`, cause)
		})
		if (!response.ok) {
			const error = await errorOfResponse(response)
			throw error instanceof PlanstreamError ? error : unreachable(error.message, error)
		}
		const type = response.headers.get('content-type') ?? 'nothing'
		if (!type.startsWith(MEDIA_TYPE)) {
			await response.body?.cancel()
			const sentence = `${url} answered with ${type} where ${MEDIA_TYPE} was expected. Is this the address of a Planstream server?`
			throw new PlanstreamError('not_found', sentence)
		}
		return response.json().catch((cause: unknown) => {
			signal?.throwIfAborted()
			throw unreachable(`The answer of ${url} was cut off.`, cause)
		}) as Promise<Output>
	}
}

function unreachable(sentence: string, cause: unknown): PlanstreamError {
	return new PlanstreamError('unreachable', sentence, {}, { cause })
}

/** What waiting between attempts needs. */
export interface PersistPorts {
	readonly clock: Clock
	readonly random: () => number
	readonly backoff: Backoff
}

export interface Persistence {
	/** Whether a failure that may pass is worth another attempt. */
	readonly again: (failure: PlanstreamError, failures: number) => boolean
	/** Ends it at the next failure or in the wait behind it; its reason is thrown. */
	readonly signal: AbortSignal
}

/** How often such a call is made at most. */
const ATTEMPTS = 4

/**
 * Attempts something until it succeeds, fails for good, or is not worth another attempt; the last failure is thrown. Between
 * attempts it waits for as long as the server asks and a random time on top.
 */
export async function persist<Output>(
	attempt: () => Promise<Output>,
	{ again, signal }: Persistence,
	{ clock, random, backoff }: PersistPorts,
): Promise<Output> {
	for (let failures = 1; ; failures++) {
		try {
			return await attempt()
		} catch (error) {
			signal.throwIfAborted()
			if (!(error instanceof PlanstreamError && error.retryable) || !again(error, failures)) throw error
			await pause(clock, (retryAfterMs(error) ?? 0) + backoffDelay(failures, random, backoff), signal)
			signal.throwIfAborted()
		}
	}
}

/**
 * The same calls, where one that fails in a way that may pass is made again: a query, which changes nothing, and a command with
 * an idempotency key, which acts once however often it comes. Any other command is sent once.
 */
export function persistentCalls(call: Calling, scope: Lifetime, ports: PersistPorts): Calling {
	return async (route, input, options = {}) => {
		if (route.kind === 'mutation' && !hasKey(input)) return call(route, input, options)
		const controller = linkedController(options.signal)
		scope.enter(controller)
		try {
			const { signal } = controller
			const again = (_: PlanstreamError, failures: number) => failures < ATTEMPTS
			return await persist(() => call(route, input, { signal }), { again, signal }, ports)
		} finally {
			scope.leave(controller)
			controller.unlink()
		}
	}
}

function hasKey(input: object): boolean {
	return 'idempotency_key' in input && input.idempotency_key !== undefined
}
