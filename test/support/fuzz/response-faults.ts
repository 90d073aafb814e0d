import { isErrorCode } from '@planstream/shared'

/** Explains why a client cannot read a problem, or returns null. */
export function findProblemFault(problem: unknown): string | null {
	const { code, detail, status, title, type } = (problem ?? {}) as Record<string, unknown>
	if (!isErrorCode(code)) return `a failure without a code: ${shorten(problem)}`
	if (code === 'internal') return `a failure that nobody foresaw: ${shorten(problem)}`
	if (typeof status !== 'number' || type !== `urn:planstream:${code}`) return `a problem that is not whole: ${shorten(problem)}`
	return [title, detail].every((text) => typeof text === 'string' && text !== '')
		? null
		: `a problem without words: ${shorten(problem)}`
}

/** Explains why a tRPC response is untyped, or returns null. */
export function findTrpcFault(answer: unknown): string | null {
	if (typeof answer !== 'object' || answer === null) return `an answer that is no object: ${shorten(answer)}`
	if (!('error' in answer)) return null
	const { data } = answer.error as { readonly data?: { readonly problem?: unknown } }
	return findProblemFault(data?.problem)
}

export interface FuzzResponse {
	readonly status: number
	readonly type: string
	readonly text: string
}

/** Explains why an HTTP response is untyped, or returns null; a stream is judged by its beginning. */
export function findHttpFault({ status, type, text }: FuzzResponse): string | null {
	if (type.startsWith('text/event-stream')) return status === 200 ? streamFault(text) : `a stream with status ${status}`
	if (status < 300) return status === 207 ? bodyFault(text) : null
	if (status < 400) return `status ${status}, which nobody here sends`
	if (type === 'application/problem+json') return findProblemFault(json(text))
	return type.startsWith('application/json') ? bodyFault(text) : `status ${status} as "${type}": ${shorten(text)}`
}

/** Collects tRPC responses, single or batched, if at least one is a failure. */
function bodyFault(text: string): string | null {
	const body = json(text)
	const answers: unknown[] = Array.isArray(body) ? body : [body]
	if (!answers.some((answer) => typeof answer === 'object' && answer !== null && 'error' in answer))
		return `a failure without an error: ${shorten(body)}`
	return answers.map(findTrpcFault).find((fault) => fault !== null) ?? null
}

const FAILURE_BLOCK = /^event: (serialized-error|problem)\ndata: ([^\n]*)$/m

function streamFault(text: string): string | null {
	const [, event, data = ''] = FAILURE_BLOCK.exec(text) ?? []
	if (event === undefined) return null
	const told = json(data)
	return event === 'problem' ? findProblemFault(told) : findTrpcFault({ error: told })
}

function json(text: string): unknown {
	try {
		return JSON.parse(text)
	} catch {
		return text
	}
}

export function shorten(value: unknown): string {
	return (typeof value === 'string' ? value : (JSON.stringify(value) ?? String(value))).slice(0, 400)
}
