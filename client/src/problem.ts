import { ERRORS, type ErrorCode, isErrorCode, PlanstreamError } from '@planstream/shared'
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
	const body: unknown = await response.json().catch(() => null)
	if (isProblem(body)) return PlanstreamError.fromProblem(body)
	const { status } = response
	const message = `${response.url} answered ${status} without a reason. A proxy in front of the server may have answered.`
	if (status >= 500 || status === 408 || status === 425 || status === 429) return new ConnectionLost(message)
	return new PlanstreamError(CODES.find((code) => ERRORS[code].status === status) ?? 'bad_request', message, { status })
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

/** Reads the delay the server asks for before the next attempt; null for none. */
export function readRetryAfterMs({ facts: { retry_after_ms } }: PlanstreamError): number | null {
	return typeof retry_after_ms === 'number' && retry_after_ms >= 0 ? retry_after_ms : null
}

function isProblem(body: unknown): boolean {
	return typeof toFields(body).code === 'string'
}

function toFields(value: unknown): Readonly<Record<string, unknown>> {
	return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {}
}
