import { asPlanstreamError, ERRORS, PlanstreamError, type Problem } from '@planstream/shared'
import { type TRPCDefaultErrorShape, TRPCError, type TRPCProcedureType } from '@trpc/server'
import { TRPC_ERROR_CODES_BY_KEY } from '@trpc/server/rpc'
import * as z from 'zod'
import { describeIssue, showPath } from '../ops/issues.js'
import { SECURITY_HEADERS } from './response-headers.js'

/** What tRPC clients get in `error.data`: the problem of every other transport, beside what the stock links look at. */
export interface ErrorData {
	readonly code: keyof typeof TRPC_ERROR_CODES_BY_KEY
	readonly httpStatus: number
	readonly path?: string
	readonly problem: Problem
}

interface FailedProcedure {
	readonly type: TRPCProcedureType | 'unknown'
	readonly path: string | undefined
}

interface FormatOptions extends FailedProcedure {
	readonly error: TRPCError
	readonly shape: TRPCDefaultErrorShape
}

export interface ErrorShape {
	readonly message: string
	readonly code: TRPCDefaultErrorShape['code']
	readonly data: ErrorData
}

/** The shape of every failure that leaves through tRPC. */
export function formatError({ error, type, path }: FormatOptions): ErrorShape {
	return toErrorShape(toTypedError(error, { procedure: path, type }), { type, path })
}

/** A failure as tRPC's clients read it. */
function toErrorShape(error: PlanstreamError, { type, path }: FailedProcedure): ErrorShape {
	const problem = error.toProblem()
	const code = chooseTrpcCode(error, type)
	const data: ErrorData = { code, httpStatus: problem.status, problem, ...(path !== undefined && { path }) }
	return { message: problem.detail, code: TRPC_ERROR_CODES_BY_KEY[code], data }
}

/** The same failure as tRPC knows it. */
export function toTrpcError(error: PlanstreamError): TRPCError {
	return new TRPCError({ code: ERRORS[error.code].trpc, message: error.message, cause: error })
}

/**
 * Codes in the 500s make the stock client reconnect a stream for ever, so a stream that failed for good says BAD_REQUEST; the
 * problem beside it tells the truth.
 */
function chooseTrpcCode(error: PlanstreamError, type: FormatOptions['type']): ErrorData['code'] {
	const code = ERRORS[error.code].trpc
	const retried = TRPC_ERROR_CODES_BY_KEY[code] === TRPC_ERROR_CODES_BY_KEY.INTERNAL_SERVER_ERROR
	return type === 'subscription' && retried && !error.retryable ? 'BAD_REQUEST' : code
}

export interface ApiFailure {
	readonly procedure?: string | undefined
	readonly type?: FormatOptions['type']
	/** What the caller sent; lets a message name it. */
	readonly input?: unknown
}

/** Any thrown value as the error its caller is told; what nobody foresaw is `internal` and says nothing of its cause. */
export function toTypedError(thrown: unknown, call: ApiFailure = {}): PlanstreamError {
	const cause = thrown instanceof TRPCError ? thrown.cause : thrown
	if (cause instanceof PlanstreamError) return hidePaths(cause)
	if (cause instanceof z.core.$ZodError) {
		return call.procedure === 'events.publish' ? toPublishError(cause, call.input) : toInputError(cause, call.input)
	}
	return thrown instanceof TRPCError
		? (fromTrpcError(thrown, call) ?? asPlanstreamError(cause ?? thrown))
		: asPlanstreamError(thrown)
}

function toInputError(error: z.core.$ZodError, input: unknown): PlanstreamError {
	const [first] = error.issues
	if (first === undefined) return asPlanstreamError(error)
	return new PlanstreamError('bad_request', describeIssues(error, input), { path: showPath(first.path) }, { cause: error })
}

/** What is wrong inside an event is a fault of the event, not of the request. */
function toPublishError(error: z.core.$ZodError, input: unknown): PlanstreamError {
	const [first] = error.issues
	if (first === undefined || first.path[0] !== 'events' || first.path.length < 2) return toInputError(error, input)
	return new PlanstreamError('invalid_event', describeIssues(error, input), { path: first.path.join('.') }, { cause: error })
}

function describeIssues({ issues }: z.core.$ZodError, input: unknown): string {
	const [first] = issues
	const others = issues.length === 1 ? '' : ` (${issues.length - 1} more to correct.)`
	return first === undefined ? '' : `${describeIssue(first, input)}${others}`
}

/** What tRPC itself refuses, before any procedure of ours. */
function fromTrpcError(error: TRPCError, { procedure = '', type }: ApiFailure): PlanstreamError | null {
	switch (error.code) {
		case 'NOT_FOUND':
			return new PlanstreamError('not_found', `There is no procedure "${procedure}". GET / names what there is.`, { procedure })
		case 'METHOD_NOT_SUPPORTED': {
			const allowed = [type === 'mutation' ? 'POST' : 'GET']
			const message = `The procedure ${procedure} takes ${allowed.join()} only. Use that method.`
			return new PlanstreamError('method_not_allowed', message, { allowed })
		}
		case 'PARSE_ERROR':
		case 'BAD_REQUEST':
		case 'UNSUPPORTED_MEDIA_TYPE': {
			const message = 'The request could not be read. Send JSON in UTF-8 with the content type application/json.'
			return new PlanstreamError('bad_request', message, {}, { cause: error })
		}
		case 'PAYLOAD_TOO_LARGE':
			return new PlanstreamError('too_large', 'The request is larger than the limit. Split it.')
		default:
			return null
	}
}

/** Facts that name a place on the disk of the server. */
const PATH_FACTS = ['directory', 'database', 'file']

const HIDDEN = {
	storage_full: 'The disk of the server is full. Nothing of this request was stored. Reads still work; try again later.',
	storage_unavailable: 'The store of the server failed. Try again later; the log of the server has the cause.',
} as const

/** Replaces a failure of the store that names a path by one without; the original is its cause, for the log. */
function hidePaths(error: PlanstreamError): PlanstreamError {
	const { code, facts } = error
	if (code !== 'storage_full' && code !== 'storage_unavailable') return error
	const told = Object.entries(facts).filter(([name]) => !PATH_FACTS.includes(name))
	if (told.length === Object.keys(facts).length) return error
	return new PlanstreamError(code, HIDDEN[code], Object.fromEntries(told), { cause: error })
}

/** A failure as the answer to an HTTP request: problem+json, and the headers its facts stand for. */
export function toProblemResponse(error: PlanstreamError): Response {
	return respond(error, 'application/problem+json', error.toProblem())
}

/** The same where the question was whether the server can do its work: it is unavailable, whatever keeps it from it. */
export function toUnavailableResponse(error: PlanstreamError): Response {
	const body = { ...hidePaths(error).toProblem(), status: UNAVAILABLE }
	return respond(error, 'application/problem+json', body, UNAVAILABLE)
}

/** The same for clients of tRPC, who look for it in an envelope: what is refused before tRPC sees it. */
export function toTrpcProblemResponse(error: PlanstreamError, procedure: string): Response {
	return respond(error, 'application/json', { error: toErrorShape(error, { type: 'unknown', path: procedure }) })
}

const UNAVAILABLE = 503

function respond(error: PlanstreamError, type: string, body: object, status = error.status): Response {
	const headers = new Headers({ 'content-type': type, 'cache-control': 'no-store', ...SECURITY_HEADERS })
	const { allowed, retry_after_ms } = error.facts
	if (error.status === 401) headers.set('www-authenticate', 'Bearer')
	if (error.code === 'method_not_allowed' && Array.isArray(allowed)) headers.set('allow', allowed.join(', '))
	if (typeof retry_after_ms === 'number') headers.set('retry-after', String(Math.ceil(retry_after_ms / 1000)))
	return new Response(JSON.stringify(body), { status, headers })
}
