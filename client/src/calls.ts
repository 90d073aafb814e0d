import { PlanstreamError } from '@planstream/shared'
import type { Calling } from './calling.js'
import { errorOfResponse } from './problem.js'
import { fillRoute } from './requests.js'
import type { Scope } from './scope.js'

export interface CallsOptions {
	readonly url: URL
	readonly fetch: typeof fetch
	readonly scope: Scope
}

/** Queries and commands over HTTP. */
export function httpCalls({ url: base, fetch, scope }: CallsOptions): Calling {
	return async <Output>(route: Parameters<Calling>[0], input: object, { signal }: Parameters<Calling>[2] = {}) => {
		scope.assertOpen()
		const { url, body } = fillRoute(base, route, input)
		const headers = { accept: 'application/json', ...(body === null ? {} : { 'content-type': 'application/json' }) }
		const response = await fetch(url, { method: route.method, headers, body, signal: signal ?? null }).catch((cause: unknown) => {
			signal?.throwIfAborted()
			throw noAnswer(`${base.origin} could not be reached. Is the server running, and is this its address?`, cause)
		})
		if (!response.ok) {
			const error = await errorOfResponse(response)
			throw error instanceof PlanstreamError ? error : noAnswer(error.message, error)
		}
		return response.json().catch((cause: unknown) => {
			signal?.throwIfAborted()
			throw noAnswer(`The answer of ${url} is not JSON, or was cut off. Is this the address of a Planstream server?`, cause)
		}) as Promise<Output>
	}
}

function noAnswer(sentence: string, cause: unknown): PlanstreamError {
	return new PlanstreamError('internal', sentence, {}, { cause })
}
