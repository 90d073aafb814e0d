import type { PlanstreamError } from '@planstream/shared'
import { errorShape } from './errors.js'

/** A failure as the answer to an HTTP request: problem+json, and the headers its facts stand for. */
export function problemResponse(error: PlanstreamError): Response {
	return respond(error, 'application/problem+json', error.toProblem())
}

/** The same where the question was whether the server can do its work: it is unavailable, whatever keeps it from it. */
export function unavailableResponse(error: PlanstreamError): Response {
	return respond(error, 'application/problem+json', { ...error.toProblem(), status: UNAVAILABLE }, UNAVAILABLE)
}

/** The same for clients of tRPC, who look for it in an envelope: what is refused before tRPC sees it. */
export function trpcProblemResponse(error: PlanstreamError, procedure: string): Response {
	return respond(error, 'application/json', { error: errorShape(error, { type: 'unknown', path: procedure }) })
}

const UNAVAILABLE = 503

function respond(error: PlanstreamError, type: string, body: object, status = error.status): Response {
	const headers = new Headers({ 'content-type': type, 'cache-control': 'no-store' })
	const { allowed, retry_after_ms } = error.facts
	if (error.status === 401) headers.set('www-authenticate', 'Bearer')
	if (error.code === 'method_not_allowed' && Array.isArray(allowed)) headers.set('allow', allowed.join(', '))
	if (typeof retry_after_ms === 'number') headers.set('retry-after', String(Math.ceil(retry_after_ms / 1000)))
	return new Response(JSON.stringify(body), { status, headers })
}
