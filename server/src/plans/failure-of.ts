import { type Failure, type Json, PlanstreamError } from '@planstream/shared'

const MAX_MESSAGE = 4096
const CODE = /^[A-Za-z0-9._-]{1,128}$/

/** What an event says of something an agent threw: its own `code` and `retryable` where it gave them. */
export function failureOf(thrown: unknown): Failure {
	const facts: { readonly code?: Json; readonly retryable?: Json } = typeof thrown === 'object' && thrown !== null ? thrown : {}
	const text = thrown instanceof Error ? thrown.message : String(thrown)
	const mistake = thrown instanceof PlanstreamError && !thrown.retryable
	return {
		code: typeof facts.code === 'string' && CODE.test(facts.code) ? facts.code : 'agent_error',
		message: text.slice(0, MAX_MESSAGE),
		retryable: typeof facts.retryable === 'boolean' ? facts.retryable : !mistake,
	}
}
