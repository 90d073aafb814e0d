import { asPlanstreamError, PlanstreamError } from '@planstream/shared'
import { type Contract, contract, type ProcedureName, type Scope } from '@planstream/shared/schemas'
import { initTRPC } from '@trpc/server'
import type { Authenticator } from '../auth/authenticator.js'
import type { AnswerBudget } from '../connections/answer-budget.js'
import type { Connections } from '../connections/connections.js'
import type { Hub } from '../hub/hub.js'
import type { Principal } from '../hub/principal.js'
import { formatError, toTrpcError, toTypedError } from './errors.js'
import { checkJson } from './input.js'
import { createRequestId } from './response-headers.js'

/** Limits the answers of calls that share one request or connection. */
export interface AnswerTurns {
	/**
	 * Resolves when a potentially large answer may be made. Disposing the result passes the turn on.
	 *
	 * @throws PlanstreamError `too_large` when earlier calls have used up the limit
	 */
	take(): Promise<Disposable>
	/**
	 * Counts an answer.
	 *
	 * @throws PlanstreamError `too_large` when it exceeds what is left
	 */
	count(answer: unknown): void
}

/** Services that estimate an answer. */
type EstimateServices = Pick<ProcedureServices, 'hub' | 'connections'>

/** A parsed input, as far as an estimate needs it. */
interface EstimateInput {
	readonly plan_id?: string
	readonly limit?: number
}

type Estimate = (services: EstimateServices, tenant: string, input: EstimateInput) => number

const estimateState: Estimate = ({ hub }, tenant, { plan_id = '' }) => hub.estimate({ tenant, plan_id }).state_bytes
/** A result of any size: one event. */
const estimateResult: Estimate = () => 1_048_576
/** Bytes of a plan in the list, and of a connection in the list of clients. */
const LISTED_BYTES = 1024

/**
 * Estimates the bytes of the queries whose answers can have megabytes. `plans.history` takes its turn itself, after waiting for an
 * event.
 */
const LARGE_ANSWERS: Partial<Record<ProcedureName, Estimate>> = {
	'plans.list': (_services, _tenant, { limit = 1 }) => limit * LISTED_BYTES,
	'plans.get': estimateState,
	'plans.result': estimateResult,
	'steps.result': estimateResult,
	'reviews.list': estimateState,
	'clients.list': ({ connections }) => connections.size * LISTED_BYTES,
}

/** Context of every procedure, whatever the transport. */
export interface Context {
	readonly principal: Principal
	/** Identifies the request in the log. Absent for calls that are not requests of their own. */
	readonly requestId?: string | undefined
	/** Absent for a call that is a request of its own. */
	readonly turns?: AnswerTurns | undefined
}

/** Makes the context of a call from the one that its adapter provides. */
export type Authenticate = (ctx: Context) => Context | Promise<Context>

/** Passes the context on: our own transports have authenticated the caller already. */
export const authenticate: Authenticate = (ctx) => ctx

/**
 * Authenticates calls that come through a host application's own tRPC adapter. Only the authenticator decides on the principal,
 * and no field of the host's context is passed on, whatever its name.
 */
export function authenticateHostCalls(authority: Authenticator): Authenticate {
	return async (ctx: unknown) => {
		const principal = await authority.identify({ via: 'router', headers: {}, token: null }, ctx)
		const names = typeof ctx === 'object' && ctx !== null ? Object.keys(ctx) : []
		return { ...Object.fromEntries(names.map((name) => [name, undefined])), principal }
	}
}

/** Reports an unexpected failure, or a refusal: an error with the code `unauthorized` or `forbidden`. */
export type OnProblem = (message: string, error?: Error, facts?: { readonly request_id?: string | undefined }) => void

/** Metadata of a procedure. It is exported by this name, which TypeScript 5.7 writes into declarations of routers around ours. */
export interface ProcedureMeta {
	readonly scope: Scope
}

/** Milliseconds between two heartbeats on tRPC's event streams. */
const SSE_HEARTBEAT_MS = 15_000
/** Heartbeats a client misses before it reconnects. */
const MISSED_HEARTBEATS = 2.5

export const t = initTRPC
	.context<Context>()
	.meta<ProcedureMeta>()
	.create({
		isDev: false,
		errorFormatter: formatError,
		sse: {
			ping: { enabled: true, intervalMs: SSE_HEARTBEAT_MS },
			client: { reconnectAfterInactivityMs: SSE_HEARTBEAT_MS * MISSED_HEARTBEATS },
		},
	})

export interface ProcedureServices {
	/** Called once for each unexpected failure. */
	readonly onProblem: OnProblem
	/** Budget for the bytes of answers that clients have not read. */
	readonly answers: AnswerBudget
	readonly hub: Hub
	readonly connections: Connections
}

/**
 * Creates the procedure that all others extend. In order: typed errors, authentication, scope, {@link checkJson}, the
 * contract's schema, the turn of a large answer.
 */
export function createProcedure<Name extends ProcedureName>(name: Name, services: ProcedureServices, admit: Authenticate) {
	const { onProblem, answers } = services
	const { scope, input: schema } = contract[name]
	const estimate = LARGE_ANSWERS[name]
	return t.procedure
		.meta({ scope })
		.use(async ({ next, getRawInput, path, ctx }) => {
			const result = await next()
			if (result.ok) return result
			const input = await getRawInput().catch(() => undefined)
			throw toTrpcError(reportFailures(toTypedError(result.error, { procedure: path, input }), onProblem, path, ctx.requestId))
		})
		.use(async ({ next, ctx }) => next({ ctx: await admit(ctx) }))
		.use(async ({ next, ctx, type }) => {
			assertAllowed(ctx.principal, name)
			answers.assertRoom(ctx.principal.tenant)
			const result = await next()
			if (!result.ok || type !== 'query') return result
			// Checked again: other answers may have used the budget meanwhile.
			answers.assertRoom(ctx.principal.tenant)
			ctx.turns?.count(result.data)
			return result
		})
		.use(async ({ next, getRawInput }) => {
			const rawInput = await getRawInput()
			if (rawInput !== undefined) checkJson(rawInput)
			return next({ ctx: { rawInput } })
		})
		.input<Contract[Name]['input']>(schema)
		.use(async ({ next, ctx: { turns, principal }, input }) => {
			if (estimate === undefined) return next()
			using _turn = await turns?.take()
			using _room = await answers.reserve(principal.tenant, estimate(services, principal.tenant, input as EstimateInput))
			return await next()
		})
}

/**
 * Checks the caller's scope for a procedure. Every transport does so before the procedure's work begins.
 *
 * @throws PlanstreamError `forbidden` with the `scope` that is missing, `auth_expired`
 */
export function assertAllowed(principal: Principal, name: ProcedureName): void {
	assertScope(principal, contract[name].scope, name)
}

/**
 * @param what - the subject of the message, such as "An export"
 * @throws PlanstreamError `forbidden` with the `scope` that is missing, `auth_expired`
 */
export function assertScope({ scopes, expired }: Principal, scope: Scope, what: string): void {
	expired?.throwIfAborted()
	if (scopes.has(scope)) return
	const message = `${what} needs the scope ${scope}, which your credentials do not have. Ask for a key that has it.`
	throw new PlanstreamError('forbidden', message, { scope })
}

/** Codes of requests that were refused for who sent them. */
const REFUSALS: ReadonlySet<string> = new Set(['unauthorized', 'forbidden'])

/**
 * Reports an unexpected error, one whose response omits paths of the store, and a refusal, once, where it happened. Such an error names the
 * id that its report has; every other one is returned unchanged.
 *
 * @param requestId - the id of the request. @defaultValue a new one: calls on a WebSocket and items of a stream have none
 */
export function reportFailures(
	error: PlanstreamError,
	onProblem: OnProblem,
	where: string,
	requestId: string = createRequestId(),
): PlanstreamError {
	const { code, message, facts, cause } = error
	const isRefused = REFUSALS.has(code)
	// A refusal may have another one as its cause, which is no failure of this server.
	const isHidden = cause instanceof PlanstreamError && error.status >= 500
	const isReported = facts.request_id !== undefined
	if (isReported || (code !== 'internal' && !isHidden && !isRefused)) return error
	const place = where.slice(0, MAX_PLACE)
	if (isRefused) onProblem(`${place} was refused.`, error, { request_id: requestId })
	else onProblem(`${place} failed.`, cause instanceof Error ? cause : asPlanstreamError(error), { request_id: requestId })
	return new PlanstreamError(code, message, { ...facts, request_id: requestId }, { cause })
}

/** Characters of a place in a report: it may be the path of a request. */
const MAX_PLACE = 200
