import { ERRORS, type ErrorCode, isErrorCode, PlanstreamError } from '@planstream/shared'
import { readText } from './body.js'
import { ConnectionLost } from './transports/transport.js'

const CODES = Object.keys(ERRORS).filter(isErrorCode)

/** The close code of RFC 6455 after which the same attempt would fail again. */
const MESSAGE_TOO_BIG = 1009

/**
 * Reads the error from a failed HTTP response. A response of something else, such as a proxy's page, is judged by its status.
 *
 * @param response - its body is consumed
 */
export async function readResponseError(response: Response): Promise<PlanstreamError | ConnectionLost> {
	const body: unknown = await readText(response, response.url, MAX_PROBLEM_BYTES)
		.then(JSON.parse)
		.catch(() => null)
	const retryAfterMs = readRetryAfterHeader(response.headers)
	if (isProblem(body)) return addDelay(PlanstreamError.fromProblem(body), retryAfterMs)
	const { status } = response
	const message = `${response.url} answered ${status} without a reason. A proxy in front of the server may have answered.`
	if (status >= 500 || status === 408 || status === 425 || status === 429) return new ConnectionLost(message, { retryAfterMs })
	return new PlanstreamError(CODES.find((code) => ERRORS[code].status === status) ?? 'bad_request', message, { status })
}

/** Largest body of an error in bytes; a larger one is not read. */
const MAX_PROBLEM_BYTES = 1024 * 1024

/** An answer that no Planstream server gives, such as a proxy's page: the address leads elsewhere. */
export class ForeignAnswer extends PlanstreamError {
	constructor(address: string, got: string, expected: string, options?: ErrorOptions) {
		const message = `${address.slice(0, 100)} answered with ${got}, expected ${expected}. Check that this is the address of a Planstream server.`
		super('not_found', message, { url: address }, options)
	}
}

/** Reads the error from a tRPC error shape: the problem it carries, or else one for its code. */
export function readTrpcError(shape: unknown): PlanstreamError {
	const { message, data } = toFields(shape)
	const { problem, code } = toFields(data)
	if (isProblem(problem)) return PlanstreamError.fromProblem(problem)
	const known: ErrorCode = CODES.find((each) => ERRORS[each].trpc === code) ?? 'internal'
	return new PlanstreamError(known, typeof message === 'string' ? message : ERRORS[known].title)
}

/** Makes the error for a closed WebSocket: 4400 to 4499 are permanent, the others may be retried. */
export function readCloseError(closeCode: number, reason: string): PlanstreamError | ConnectionLost {
	const final = (closeCode >= 4400 && closeCode <= 4499) || closeCode === MESSAGE_TOO_BIG
	if (!final) return new ConnectionLost(`The WebSocket closed with code ${closeCode}${reason === '' ? '' : ` (${reason})`}.`)
	const code = CODES.find((each) => ERRORS[each].close === closeCode) ?? 'bad_request'
	return new PlanstreamError(code, reason === '' ? ERRORS[code].title : reason, { close_code: closeCode })
}

/** Turns a retryable error of a stream into a lost connection, with the delay the server asks for. */
export function toStreamError(error: PlanstreamError | ConnectionLost): PlanstreamError | ConnectionLost {
	if (error instanceof ConnectionLost || !error.retryable) return error
	return new ConnectionLost(error.message, { retryAfterMs: readRetryAfterMs(error), cause: error })
}

/** Longest delay in milliseconds that is heeded when a server or a proxy asks to wait; after that the next attempt is made. */
const MAX_RETRY_AFTER_MS = 300_000

/** Reads the delay the server asks for before the next attempt; null for none. */
export function readRetryAfterMs({ facts: { retry_after_ms } }: PlanstreamError): number | null {
	if (typeof retry_after_ms !== 'number' || !(retry_after_ms >= 0)) return null
	return Math.min(retry_after_ms, MAX_RETRY_AFTER_MS)
}

/** Reads the header `Retry-After`: seconds, or a date, which is compared with the answer's own if it has one. */
function readRetryAfterHeader(headers: Headers): number | null {
	const text = headers.get('retry-after')?.trim() ?? ''
	const delayMs = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - readDate(headers.get('date'))
	return Number.isNaN(delayMs) ? null : Math.min(Math.max(0, delayMs), MAX_RETRY_AFTER_MS)
}

function readDate(text: string | null): number {
	const date = Date.parse(text ?? '')
	return Number.isNaN(date) ? Date.now() : date
}

/** Adds the delay of the header to a problem that names none. */
function addDelay(error: PlanstreamError, retry_after_ms: number | null): PlanstreamError {
	if (retry_after_ms === null || 'retry_after_ms' in error.facts) return error
	return new PlanstreamError(error.code, error.message, { ...error.facts, retry_after_ms })
}

function isProblem(body: unknown): boolean {
	const { type, code } = toFields(body)
	return typeof code === 'string' && String(type).startsWith('urn:planstream:')
}

function toFields(value: unknown): Readonly<Record<string, unknown>> {
	return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {}
}
