import { PlanstreamError } from '@planstream/shared'
import type { Calling } from './calling.js'
import { errorOfResponse } from './problem.js'
import { fillRoute } from './requests.js'
import type { Scope } from './scope.js'
import { authorization, type TokenSource } from './token.js'

export interface CallsOptions {
	readonly url: URL
	readonly token: TokenSource | null
	readonly fetch: typeof fetch
	readonly scope: Scope
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
