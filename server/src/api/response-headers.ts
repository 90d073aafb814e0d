import { randomUUID } from 'node:crypto'

/** Headers of every response. They forbid scripts, framing, embedding by other origins, and sending the URL as a referrer. */
export const SECURITY_HEADERS = {
	'content-security-policy': "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
	'cross-origin-resource-policy': 'same-origin',
	'referrer-policy': 'no-referrer',
	'x-content-type-options': 'nosniff',
} as const

/** Header with the id of a request, which the response and the log share. */
export const REQUEST_ID = 'x-request-id'

/** Creates the id of a request. It is random, because a counter would reveal to each tenant how many requests others send. */
export function createRequestId(): string {
	return randomUUID()
}
