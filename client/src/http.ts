import { type ErrorFacts, PlanstreamError } from '@planstream/shared'
import { parseAnswer } from './answers.js'
import { discardBody, readText } from './body.js'
import { assertInput } from './input.js'
import { ForeignAnswer, readResponseError, readRetryAfterMs } from './problem.js'
import { awaitUnlessAborted, type Backoff, type Clock, drawBackoffDelay, type Lifetime, linkController, pause } from './timing.js'
import { authorize, type TokenSource } from './token.js'
import type { Calling } from './types.js'

/** A route with its input filled in: the address, and the rest as the body. */
export interface FilledRoute {
	readonly url: string
	readonly body: string | null
}

/**
 * Fills an input into its route: path fields go into the path, the rest into the body of a POST and the query of any other method.
 * A list becomes one query parameter per value, and an empty list an empty one.
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
	const url = buildAddress(base, filled)
	if (method === 'POST') return { url: url.href, body: JSON.stringify(Object.fromEntries(rest)) }
	for (const [name, value] of rest) {
		if (value === undefined) continue
		const values: readonly unknown[] = Array.isArray(value) && value.length > 0 ? value : [value]
		for (const each of values) url.searchParams.append(name, String(each))
	}
	return { url: url.href, body: null }
}

/** Builds an address below the server's own, which has a path when a proxy serves it below one. */
export function buildAddress(base: URL, path: string): URL {
	const address = new URL(base)
	address.pathname = `${base.pathname.replace(/\/$/, '')}${path}`
	return address
}

export interface CallsOptions {
	readonly url: URL
	readonly token: TokenSource | null
	readonly fetch: typeof fetch
	readonly scope: Lifetime
}

const MEDIA_TYPE = 'application/json'

/** Makes queries and commands over HTTP, one attempt each. A refused token is requested anew, and the call repeated once. */
export function createHttpCalls(options: CallsOptions): Calling {
	const call = createCall(options)
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

function createCall({ url: base, token, fetch }: CallsOptions): Calling {
	return async <Output>(route: Parameters<Calling>[0], input: object, { signal }: Parameters<Calling>[2] = {}) => {
		assertInput(route.path, input)
		const { url, body } = fillRoute(base, route, input)
		const content = body === null ? {} : { 'content-type': MEDIA_TYPE }
		const asked = authorize(token)
		const credentials = await (signal ? awaitUnlessAborted(asked, signal) : asked)
		const headers = { accept: MEDIA_TYPE, ...content, ...credentials }
		const response = await fetch(url, { method: route.method, headers, body, signal: signal ?? null }).catch((cause: unknown) => {
			signal?.throwIfAborted()
			throw createUnreachableError(
				`Cannot reach ${base.origin}. Check that the server is running and that this is its address.`,
				cause,
			)
		})
		if (!response.ok) {
			const error = await readResponseError(response)
			if (error instanceof PlanstreamError) throw error
			const { retryAfterMs } = error
			throw createUnreachableError(error.message, error, retryAfterMs === null ? {} : { retry_after_ms: retryAfterMs })
		}
		const address = dropQuery(url)
		const type = response.headers.get('content-type') ?? 'nothing'
		if (!type.startsWith(MEDIA_TYPE)) {
			await discardBody(response)
			throw new ForeignAnswer(address, type, MEDIA_TYPE)
		}
		const text = await readText(response, address).catch((cause: unknown) => {
			signal?.throwIfAborted()
			if (cause instanceof PlanstreamError) throw cause
			throw createUnreachableError(`The connection was lost while reading the response of ${address}. Try again.`, cause)
		})
		return parseAnswer<Output>(text, route.answer, address)
	}
}

function createUnreachableError(message: string, cause: unknown, facts: ErrorFacts = {}): PlanstreamError {
	return new PlanstreamError('unreachable', message, facts, { cause })
}

/** Shortens an address for messages. */
export function dropQuery(url: string): string {
	return url.split('?', 1)[0] ?? url
}

/** The dependencies of `persist`. */
export interface RetryPorts {
	readonly clock: Clock
	readonly random: () => number
	readonly backoff: Backoff
}

export interface Persistence {
	/** Decides whether to retry after a retryable failure. */
	readonly again: (failure: PlanstreamError, failures: number) => boolean
	/** Stops retrying at the next failure or during the delay after it; its reason is thrown. */
	readonly signal: AbortSignal
}

/** Maximum attempts of a call. */
const ATTEMPTS = 4
/** Longest delay in milliseconds that a call waits because it is asked to; beyond that it fails at once, with the delay as a fact. */
const MAX_CALL_DELAY_MS = 30_000

/**
 * Repeats an attempt until it succeeds, fails permanently, or `again` returns false; then it throws the last failure. The delay
 * between attempts is the one the server asks for plus a random backoff.
 */
export async function persist<Output>(
	attempt: () => Promise<Output>,
	{ again, signal }: Persistence,
	{ clock, random, backoff }: RetryPorts,
): Promise<Output> {
	for (let failures = 1; ; failures++) {
		try {
			return await attempt()
		} catch (error) {
			signal.throwIfAborted()
			if (!(error instanceof PlanstreamError && error.retryable) || !again(error, failures)) throw error
			await pause(clock, (readRetryAfterMs(error) ?? 0) + drawBackoffDelay(failures, random, backoff), signal)
			signal.throwIfAborted()
		}
	}
}

/**
 * Adds retries to calls that are safe to repeat: queries, and commands with an idempotency key. Any other command is sent once.
 */
export function addRetries(call: Calling, scope: Lifetime, ports: RetryPorts): Calling {
	return async (route, input, options = {}) => {
		if (route.kind === 'mutation' && !hasKey(input)) return call(route, input, options)
		const controller = linkController(options.signal)
		scope.enter(controller)
		try {
			const { signal } = controller
			const again = (failure: PlanstreamError, failures: number) =>
				failures < ATTEMPTS && (readRetryAfterMs(failure) ?? 0) <= MAX_CALL_DELAY_MS
			return await persist(() => call(route, input, { signal }), { again, signal }, ports)
		} finally {
			scope.leave(controller)
			controller.unlink()
		}
	}
}

/** Any other input is refused when it is about to be sent. */
function hasKey(input: unknown): boolean {
	return typeof input === 'object' && input !== null && 'idempotency_key' in input && input.idempotency_key !== undefined
}
