import { type Failure, type Json, PlanstreamError } from '@planstream/shared'

const MAX_MESSAGE = 4096
const CODE = /^[A-Za-z0-9._-]{1,128}$/

/** What an event says of something an agent threw: its own `code` and `retryable` where it gave them. Takes whatever can be thrown. */
export function failureOf(thrown: unknown): Failure {
	try {
		return described(thrown)
	} catch {
		const message = 'The agent threw something that cannot be read. Throw an Error.'
		return { code: 'agent_error', message, retryable: true }
	}
}

function described(thrown: unknown): Failure {
	const facts: { readonly code?: Json; readonly retryable?: Json } = typeof thrown === 'object' && thrown !== null ? thrown : {}
	const { code, retryable } = facts
	const text = String(thrown instanceof Error ? thrown.message : thrown)
	const mistake = thrown instanceof PlanstreamError && !thrown.retryable
	return {
		code: typeof code === 'string' && CODE.test(code) ? code : 'agent_error',
		message: text.slice(0, MAX_MESSAGE),
		retryable: typeof retryable === 'boolean' ? retryable : !mistake,
	}
}
