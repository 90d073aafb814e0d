import { ERRORS, type ErrorCode, isErrorCode, PlanstreamError } from '@planstream/shared'
import { ConnectionLost } from './transports/transport.js'

const CODES = Object.keys(ERRORS).filter(isErrorCode)

/** Close codes of RFC 6455 after which the same attempt would fail again. */
const MESSAGE_TOO_BIG = 1009

/**
 * The error a failed HTTP answer stands for. An answer that is not of this server (a proxy's page) is told by its status.
 *
 * @param response - its body is read
 */
export async function errorOfResponse(response: Response): Promise<PlanstreamError | ConnectionLost> {
	const body: unknown = await response.json().catch(() => null)
	if (isProblem(body)) return PlanstreamError.fromProblem(body)
	const { status } = response
	const sentence = `${response.url} answered ${status} without saying why; something between here and the server may have answered.`
	if (status >= 500 || status === 408 || status === 425 || status === 429) return new ConnectionLost(sentence)
	return new PlanstreamError(CODES.find((code) => ERRORS[code].status === status) ?? 'bad_request', sentence, { status })
}

/** The error of a tRPC answer: the problem it carries, else what its code says. */
export function errorOfTrpc(shape: unknown): PlanstreamError {
	const { message, data } = fields(shape)
	const { problem, code } = fields(data)
	if (isProblem(problem)) return PlanstreamError.fromProblem(problem)
	const known: ErrorCode = CODES.find((each) => ERRORS[each].trpc === code) ?? 'internal'
	return new PlanstreamError(known, typeof message === 'string' ? message : ERRORS[known].title)
}

/** What a closed WebSocket means: 4400 to 4499 refuse for good, everything else may be tried again. */
export function errorOfClose(closeCode: number, reason: string): PlanstreamError | ConnectionLost {
	const final = (closeCode >= 4400 && closeCode <= 4499) || closeCode === MESSAGE_TOO_BIG
	if (!final) return new ConnectionLost(`The WebSocket was closed with ${closeCode}${reason === '' ? '' : ` (${reason})`}.`)
	const code = CODES.find((each) => ERRORS[each].close === closeCode) ?? 'bad_request'
	return new PlanstreamError(code, reason === '' ? ERRORS[code].title : reason, { close_code: closeCode })
}

/** A failure of a stream: one that may pass is a cut, with the time the server asks for. */
export function lostOrError(error: PlanstreamError | ConnectionLost): PlanstreamError | ConnectionLost {
	if (error instanceof ConnectionLost || !error.retryable) return error
	return new ConnectionLost(error.message, { retryAfterMs: retryAfterMs(error), cause: error })
}

/** How long the server asks to stay away; null when it does not say. */
export function retryAfterMs({ facts: { retry_after_ms } }: PlanstreamError): number | null {
	return typeof retry_after_ms === 'number' && retry_after_ms >= 0 ? retry_after_ms : null
}

function isProblem(body: unknown): boolean {
	return typeof fields(body).code === 'string'
}

function fields(value: unknown): Readonly<Record<string, unknown>> {
	return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {}
}
