/** One row of the error table: the form of a failure on every transport. */
export interface ErrorRow {
	/** HTTP status of the answer. */
	readonly status: number
	/** tRPC error code. Streams never report a permanent failure with a code that the stock tRPC client retries. */
	readonly trpc: TrpcCode
	/** WebSocket close code: after 4300-4399 a client may reconnect, after 4400-4499 it must not. */
	readonly close: number
	/** Whether the same request may succeed later, unchanged. */
	readonly retryable: boolean
	/** Meaning of the code in one sentence. */
	readonly title: string
}

type TrpcCode =
	| 'BAD_REQUEST'
	| 'UNAUTHORIZED'
	| 'FORBIDDEN'
	| 'NOT_FOUND'
	| 'METHOD_NOT_SUPPORTED'
	| 'CONFLICT'
	| 'PRECONDITION_FAILED'
	| 'PAYLOAD_TOO_LARGE'
	| 'UNPROCESSABLE_CONTENT'
	| 'TIMEOUT'
	| 'TOO_MANY_REQUESTS'
	| 'SERVICE_UNAVAILABLE'
	| 'INTERNAL_SERVER_ERROR'

/** The closed table of all errors. PROTOCOL.md section 6 is generated from it. */
export const ERRORS = {
	bad_request: row(400, 'BAD_REQUEST', 4400, false, 'The request is malformed.'),
	unauthorized: row(401, 'UNAUTHORIZED', 4401, false, 'The request carries no valid credentials.'),
	forbidden: row(403, 'FORBIDDEN', 4403, false, 'The credentials do not allow this.'),
	not_found: row(404, 'NOT_FOUND', 4404, false, 'The resource does not exist.'),
	method_not_allowed: row(405, 'METHOD_NOT_SUPPORTED', 4400, false, 'This address does not support this method.'),
	illegal_transition: row(409, 'CONFLICT', 4400, false, 'The current state does not allow this.'),
	conflict: row(409, 'CONFLICT', 4400, false, 'The request contradicts what is stored.'),
	plan_managed: row(409, 'CONFLICT', 4400, false, 'The plan runs on this server; only its agents add events.'),
	plan_external: row(409, 'CONFLICT', 4400, false, 'The plan is external: this server streams it, but does not run it.'),
	idempotency_mismatch: row(409, 'CONFLICT', 4400, false, 'The idempotency key was used for another request.'),
	cursor_gone: row(410, 'CONFLICT', 4400, false, 'The events after this cursor are no longer available.'),
	stale_revision: row(412, 'PRECONDITION_FAILED', 4400, false, 'The plan has changed since the expected revision.'),
	too_large: row(413, 'PAYLOAD_TOO_LARGE', 1009, false, 'The request is larger than the limit.'),
	invalid_event: row(422, 'UNPROCESSABLE_CONTENT', 4400, false, 'The event does not match its schema.'),
	invalid_input: row(422, 'UNPROCESSABLE_CONTENT', 4400, false, 'The input does not match the schema of the agent.'),
	request_timeout: row(408, 'TIMEOUT', 1013, true, 'The request arrived too slowly.'),
	rate_limited: row(429, 'TOO_MANY_REQUESTS', 4329, true, 'Too many requests in a short time.'),
	internal: row(500, 'INTERNAL_SERVER_ERROR', 1011, false, 'The server failed; see its log for details.'),
	too_many_connections: row(503, 'SERVICE_UNAVAILABLE', 1013, true, 'The server has reached its limit of connections.'),
	overloaded: row(503, 'SERVICE_UNAVAILABLE', 1013, true, 'The server has reached its limit of pending answers.'),
	draining: row(503, 'SERVICE_UNAVAILABLE', 1012, true, 'The server is stopping; reconnect to continue.'),
	storage_unavailable: row(503, 'SERVICE_UNAVAILABLE', 1013, true, 'The storage is unavailable.'),
	storage_full: row(507, 'SERVICE_UNAVAILABLE', 1013, true, 'The disk is full; reads still work.'),
	plan_full: row(507, 'CONFLICT', 4400, false, 'The plan has reached its limit of events, steps or bytes.'),
	slow_consumer: row(503, 'SERVICE_UNAVAILABLE', 4308, true, 'The client read nothing for too long.'),
	auth_expired: row(401, 'UNAUTHORIZED', 4301, true, 'The credentials have expired; reconnect with new ones.'),
	/** Made by clients only: there was no answer, so the outcome of the request is unknown. */
	unreachable: row(503, 'SERVICE_UNAVAILABLE', 1013, true, 'The server did not answer.'),
	/** Made by clients only, like the next one: the plan of `plans.run` ended without a result. */
	run_failed: row(409, 'CONFLICT', 4400, false, 'The plan failed.'),
	run_cancelled: row(409, 'CONFLICT', 4400, false, 'The plan was cancelled.'),
} as const satisfies Record<string, ErrorRow>

export type ErrorCode = keyof typeof ERRORS

/** Facts of an error as fields, such as `allowed`, `oldest_seq`, `retry_after_ms` and `path`. */
export type ErrorFacts = Readonly<Record<string, unknown>>

/** The body of every failed response: RFC 9457 problem+json with the code and its facts. */
export interface Problem extends ErrorFacts {
	readonly type: string
	readonly title: string
	readonly status: number
	readonly detail: string
	readonly code: ErrorCode
}

/**
 * The only error that Planstream throws on purpose. `message` tells what happened, what was expected and what to do; `facts` holds the
 * same for programs.
 */
export class PlanstreamError extends Error {
	override readonly name = 'PlanstreamError'
	readonly code: ErrorCode
	readonly facts: ErrorFacts

	constructor(code: ErrorCode, message: string, facts: ErrorFacts = {}, options?: ErrorOptions) {
		super(message, options)
		this.code = code
		this.facts = facts
	}

	/**
	 * Recognises errors of other copies of this class, too: the client brings its own, and a project may hold two versions. For a
	 * subclass `instanceof` means what it always does.
	 */
	static override [Symbol.hasInstance](thrown: unknown): thrown is PlanstreamError {
		// biome-ignore lint/complexity/noThisInStatic: it is the class that stands behind instanceof
		return isInstance(this, thrown)
	}

	get status(): number {
		return ERRORS[this.code].status
	}

	get retryable(): boolean {
		return ERRORS[this.code].retryable
	}

	/** Makes the problem body of the error. */
	toProblem(): Problem {
		const { status, title } = ERRORS[this.code]
		return { type: `urn:planstream:${this.code}`, title, status, detail: this.message, code: this.code, ...this.facts }
	}

	/** Makes an error from a problem body; an unknown code of a newer server becomes `internal` with the same message. */
	static fromProblem(problem: unknown): PlanstreamError {
		const body = typeof problem === 'object' && problem !== null ? (problem as Record<string, unknown>) : {}
		const { type: _type, title, status: _status, detail, code, ...facts } = body
		const message = typeof detail === 'string' ? detail : typeof title === 'string' ? title : 'The server failed.'
		return new PlanstreamError(isErrorCode(code) ? code : 'internal', message, facts)
	}
}

function isInstance(tested: unknown, thrown: unknown): thrown is PlanstreamError {
	if (Function.prototype[Symbol.hasInstance].call(tested, thrown)) return true
	if (tested !== PlanstreamError || !(thrown instanceof Error) || thrown.name !== 'PlanstreamError') return false
	return 'code' in thrown && isErrorCode(thrown.code) && 'facts' in thrown
}

export function isErrorCode(code: unknown): code is ErrorCode {
	return typeof code === 'string' && Object.hasOwn(ERRORS, code)
}

/** Turns any thrown value into a {@link PlanstreamError}; an unexpected one becomes `internal` with its `cause`. */
export function asPlanstreamError(thrown: unknown): PlanstreamError {
	if (thrown instanceof PlanstreamError) return thrown
	return new PlanstreamError('internal', 'The server failed; see its log for details.', {}, { cause: thrown })
}

function row<const Row extends [number, TrpcCode, number, boolean, string]>(
	...[status, trpc, close, retryable, title]: Row
): ErrorRow {
	return { status, trpc, close, retryable, title }
}
