import type { PlanstreamError } from '@planstream/shared'

/** A failure as the answer to an HTTP request: problem+json, and the headers its facts stand for. */
export function problemResponse(error: PlanstreamError): Response {
	const headers = new Headers({ 'content-type': 'application/problem+json', 'cache-control': 'no-store' })
	const { allowed, retry_after_ms } = error.facts
	if (error.code === 'method_not_allowed' && Array.isArray(allowed)) headers.set('allow', allowed.join(', '))
	if (typeof retry_after_ms === 'number') headers.set('retry-after', String(Math.ceil(retry_after_ms / 1000)))
	return new Response(JSON.stringify(error.toProblem()), { status: error.status, headers })
}
