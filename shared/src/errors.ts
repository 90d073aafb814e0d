/** One row of the error table: how a failure looks on every transport. */
export interface ErrorRow {
	/** HTTP status of the answer. */
	readonly status: number
	/** tRPC error code. Streams never use a code the stock tRPC client retries for a failure that lasts. */
	readonly trpc: TrpcCode
	/** WebSocket close code: 4300-4399 may reconnect, 4400-4499 must not. */
	readonly close: number
	/** Whether the same request may succeed later without a change. */
	readonly retryable: boolean
	/** What the code means, in one sentence. */
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

/** The closed table of everything that can go wrong. PROTOCOL.md section 6 is written from it. */
export const ERRORS = {
	bad_request: row(400, 'BAD_REQUEST', 4400, false, 'The request is not well formed.'),
	unauthorized: row(401, 'UNAUTHORIZED', 4401, false, 'The request carries no valid credentials.'),
	forbidden: row(403, 'FORBIDDEN', 4403, false, 'The credentials do not allow this.'),
	not_found: row(404, 'NOT_FOUND', 4404, false, 'There is nothing at this address.'),
	method_not_allowed: row(405, 'METHOD_NOT_SUPPORTED', 4400, false, 'This address does not take this method.'),
	illegal_transition: row(409, 'CONFLICT', 4400, false, 'The current state does not allow this.'),
	conflict: row(409, 'CONFLICT', 4400, false, 'The request contradicts what is stored.'),
	plan_managed: row(409, 'CONFLICT', 4400, false, 'The plan is run by this server; only its own agents add events.'),
	plan_external: row(409, 'CONFLICT', 4400, false, 'The plan is run elsewhere; this server only streams it.'),
	idempotency_mismatch: row(409, 'CONFLICT', 4400, false, 'The idempotency key was used for another request.'),
	cursor_gone: row(410, 'CONFLICT', 4400, false, 'The events behind this cursor are no longer kept.'),
	stale_revision: row(412, 'PRECONDITION_FAILED', 4400, false, 'The plan was changed since the revision you expect.'),
	too_large: row(413, 'PAYLOAD_TOO_LARGE', 1009, false, 'The request is larger than the limit.'),
	invalid_event: row(422, 'UNPROCESSABLE_CONTENT', 4400, false, 'The event does not fit its schema.'),
	invalid_input: row(422, 'UNPROCESSABLE_CONTENT', 4400, false, 'What is given does not fit the schema of the agent.'),
	request_timeout: row(408, 'TIMEOUT', 1013, true, 'The body of the request came too slowly.'),
	rate_limited: row(429, 'TOO_MANY_REQUESTS', 4329, true, 'Too many requests in a short time.'),
	internal: row(500, 'INTERNAL_SERVER_ERROR', 1011, false, 'The server failed to do this; the failure is in its log.'),
	too_many_connections: row(503, 'SERVICE_UNAVAILABLE', 1013, true, 'The server holds as many connections as it may.'),
	overloaded: row(503, 'SERVICE_UNAVAILABLE', 1013, true, 'The server has no room for more answers.'),
	draining: row(503, 'SERVICE_UNAVAILABLE', 1012, true, 'The server is stopping; reconnect to continue.'),
	storage_unavailable: row(503, 'SERVICE_UNAVAILABLE', 1013, true, 'The store cannot be reached.'),
	storage_full: row(507, 'SERVICE_UNAVAILABLE', 1013, true, 'The disk of the store is full; reads go on.'),
	plan_full: row(507, 'CONFLICT', 4400, false, 'The plan has reached a limit of its events, steps or bytes.'),
	slow_consumer: row(503, 'SERVICE_UNAVAILABLE', 4308, true, 'The connection took nothing for too long.'),
	auth_expired: row(401, 'UNAUTHORIZED', 4301, true, 'The credentials have expired; reconnect with new ones.'),
	/** Only a client makes this one: no answer came, so nobody knows what became of the request. */
	unreachable: row(503, 'SERVICE_UNAVAILABLE', 1013, true, 'No answer came from the server.'),
	/** These two as well: what a plan that was run to its end came to, when it came to no result. */
	run_failed: row(409, 'CONFLICT', 4400, false, 'The plan has failed.'),
	run_cancelled: row(409, 'CONFLICT', 4400, false, 'The plan was cancelled.'),
} as const satisfies Record<string, ErrorRow>

export type ErrorCode = keyof typeof ERRORS

/** Facts that belong to an error, as fields: `allowed`, `oldest_seq`, `retry_after_ms`, `path` ... */
export type ErrorFacts = Readonly<Record<string, unknown>>

/** The body of every failed answer: RFC 9457 problem+json with the code and its facts. */
export interface Problem extends ErrorFacts {
	readonly type: string
	readonly title: string
	readonly status: number
	readonly detail: string
	readonly code: ErrorCode
}

/**
 * The only error this system throws on purpose. `message` says what happened, what was expected and what to do;
 * `facts` holds the same for programs.
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

	get status(): number {
		return ERRORS[this.code].status
	}

	get retryable(): boolean {
		return ERRORS[this.code].retryable
	}

	/** The error as it goes over the wire. */
	toProblem(): Problem {
		const { status, title } = ERRORS[this.code]
		return { type: `urn:planstream:${this.code}`, title, status, detail: this.message, code: this.code, ...this.facts }
	}

	/** The error a problem body stands for; an unknown code of a newer server becomes `internal` with its text kept. */
	static fromProblem(problem: unknown): PlanstreamError {
		const body = typeof problem === 'object' && problem !== null ? (problem as Record<string, unknown>) : {}
		const { type: _type, title, status: _status, detail, code, ...facts } = body
		const sentence = typeof detail === 'string' ? detail : typeof title === 'string' ? title : 'The server failed.'
		return new PlanstreamError(isErrorCode(code) ? code : 'internal', sentence, facts)
	}
}

export function isErrorCode(code: unknown): code is ErrorCode {
	return typeof code === 'string' && Object.hasOwn(ERRORS, code)
}

/** Any thrown value as a {@link PlanstreamError}; what nobody foresaw becomes `internal` with its cause kept. */
export function asPlanstreamError(thrown: unknown): PlanstreamError {
	if (thrown instanceof PlanstreamError) return thrown
	return new PlanstreamError('internal', 'The server failed to do this; the failure is in its log.', {}, { cause: thrown })
}

function row<const Row extends [number, TrpcCode, number, boolean, string]>(
	...[status, trpc, close, retryable, title]: Row
): ErrorRow {
	return { status, trpc, close, retryable, title }
}
