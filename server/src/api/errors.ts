import { asPlanstreamError, ERRORS, PlanstreamError, type Problem } from '@planstream/shared'
import { type TRPCDefaultErrorShape, TRPCError, type TRPCProcedureType } from '@trpc/server'
import { TRPC_ERROR_CODES_BY_KEY } from '@trpc/server/rpc'
import * as z from 'zod'
import { describeIssue, showPath } from '../ops/issues.js'
import { SECURITY_HEADERS } from './response-headers.js'

/** The `error.data` of tRPC clients: the fields that tRPC's own links read, and the problem that every other transport sends. */
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

/** Formats every error that leaves through tRPC. */
export function formatError({ error, type, path }: FormatOptions): ErrorShape {
	return toErrorShape(toTypedError(error, { procedure: path, type }), { type, path })
}

/** Converts an error to the shape that tRPC clients read. */
export function toErrorShape(error: PlanstreamError, { type, path }: FailedProcedure): ErrorShape {
	const problem = error.toProblem()
	const code = chooseTrpcCode(error, type)
	const data: ErrorData = { code, httpStatus: problem.status, problem, ...(path !== undefined && { path }) }
	return { message: problem.detail, code: TRPC_ERROR_CODES_BY_KEY[code], data }
}

/** Wraps an error for tRPC. */
export function toTrpcError(error: PlanstreamError): TRPCError {
	return new TRPCError({ code: ERRORS[error.code].trpc, message: error.message, cause: error })
}

/**
 * Chooses the tRPC code. Codes in the 500s make tRPC's client reconnect a stream forever, so a stream that failed for good
 * reports BAD_REQUEST; the `problem` beside it has the real status.
 */
function chooseTrpcCode(error: PlanstreamError, type: FormatOptions['type']): ErrorData['code'] {
	const code = ERRORS[error.code].trpc
	const retried = TRPC_ERROR_CODES_BY_KEY[code] === TRPC_ERROR_CODES_BY_KEY.INTERNAL_SERVER_ERROR
	return type === 'subscription' && retried && !error.retryable ? 'BAD_REQUEST' : code
}

export interface ApiFailure {
	readonly procedure?: string | undefined
	readonly type?: FormatOptions['type']
	/** The caller's input, so that the message can quote it. */
	readonly input?: unknown
}

/**
 * Converts any thrown value to the error for the caller. An unexpected one becomes `internal` and reveals nothing about its
 * cause.
 */
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

/** Reports a fault inside an event as `invalid_event`, and any other as `bad_request`. */
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

/** Converts the errors that tRPC raises itself, before a procedure runs. */
function fromTrpcError(error: TRPCError, { procedure = '', type }: ApiFailure): PlanstreamError | null {
	switch (error.code) {
		case 'NOT_FOUND':
			return unknownProcedure(procedure)
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

export function unknownProcedure(procedure: string): PlanstreamError {
	return new PlanstreamError('not_found', `There is no procedure "${procedure}". GET / lists every procedure.`, { procedure })
}

/** Facts with paths on the server's disk. */
const PATH_FACTS = ['directory', 'database', 'file']

const HIDDEN = {
	storage_full: 'The disk of the server is full, so nothing of this request was stored. Reads still work. Try again later.',
	storage_unavailable: 'The store of the server failed. Try again later. The server log has the cause.',
} as const

/** Replaces an error of the store that names a path by one without it. The original stays as the cause, for the log. */
function hidePaths(error: PlanstreamError): PlanstreamError {
	const { code, facts } = error
	if (code !== 'storage_full' && code !== 'storage_unavailable') return error
	const visible = Object.entries(facts).filter(([name]) => !PATH_FACTS.includes(name))
	if (visible.length === Object.keys(facts).length) return error
	return new PlanstreamError(code, HIDDEN[code], Object.fromEntries(visible), { cause: error })
}

/** Converts an error to an HTTP response: problem+json, with the headers that its facts imply. */
export function toProblemResponse(error: PlanstreamError): Response {
	return respond(error, 'application/problem+json', error.toProblem())
}

/** Converts an error to the response of a health check: status 503, whatever the cause. */
export function toUnavailableResponse(error: PlanstreamError): Response {
	const body = { ...hidePaths(error).toProblem(), status: UNAVAILABLE }
	return respond(error, 'application/problem+json', body, UNAVAILABLE)
}

/** Converts an error that was raised before tRPC saw the request to the envelope that tRPC clients expect. */
export function toTrpcProblemResponse(error: PlanstreamError, procedure: string): Response {
	return respond(error, 'application/json', { error: toErrorShape(error, { type: 'unknown', path: procedure }) })
}

/** Converts the errors of all calls of a batch, each with the name of its procedure. */
export function toTrpcBatchProblemResponse(refused: readonly (readonly [string, PlanstreamError])[]): Response {
	const shapes = refused.map(([path, error]) => ({ error: toErrorShape(error, { type: 'unknown', path }) }))
	const [[, first] = []] = refused
	const isSame = refused.every(([, { status }]) => status === first?.status)
	return respond(first ?? unknownProcedure(''), 'application/json', shapes, isSame ? first?.status : MULTI_STATUS)
}

const MULTI_STATUS = 207
const UNAVAILABLE = 503

function respond(error: PlanstreamError, type: string, body: object, status = error.status): Response {
	const headers = new Headers({ 'content-type': type, 'cache-control': 'no-store', ...SECURITY_HEADERS })
	const { allowed, retry_after_ms } = error.facts
	if (error.status === 401) headers.set('www-authenticate', 'Bearer')
	if (error.code === 'method_not_allowed' && Array.isArray(allowed)) headers.set('allow', allowed.join(', '))
	if (typeof retry_after_ms === 'number') headers.set('retry-after', String(Math.ceil(retry_after_ms / 1000)))
	return new Response(JSON.stringify(body), { status, headers })
}
