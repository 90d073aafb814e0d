import { randomUUID } from 'node:crypto'

/** Headers of every answer: nothing in one may run, frame, be framed, be embedded elsewhere or send its address on. */
export const SECURITY_HEADERS = {
	'content-security-policy': "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
	'cross-origin-resource-policy': 'same-origin',
	'referrer-policy': 'no-referrer',
	'x-content-type-options': 'nosniff',
} as const

/** The header that names a request, in its answer and in the log. */
export const REQUEST_ID = 'x-request-id'

/** Names a request. It is random, because a counter would tell each tenant how many requests the others send. */
export function createRequestId(): string {
	return randomUUID()
}
