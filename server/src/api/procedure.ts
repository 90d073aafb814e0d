import { asPlanstreamError, PlanstreamError } from '@planstream/shared'
import { type Contract, contract, type ProcedureName, type Scope } from '@planstream/shared/schemas'
import { initTRPC } from '@trpc/server'
import type { Authenticator } from '../auth/authenticator.js'
import type { AnswerBudget } from '../connections/answer-budget.js'
import type { Principal } from '../hub/principal.js'
import { formatError, toTrpcError, toTypedError } from './errors.js'
import { checkJson } from './input.js'

/** The answers of one request or connection, where several calls share it. */
export interface AnswerTurns {
	/**
	 * Resolves when an answer that may be large may be made. Disposing the result passes the turn on.
	 *
	 * @throws PlanstreamError `too_large` when the calls before have used up what there is
	 */
	take(): Promise<Disposable>
	/**
	 * Counts an answer.
	 *
	 * @throws PlanstreamError `too_large` when it is more than what is left
	 */
	count(answer: unknown): void
}

/** Queries whose answers may have megabytes. `plans.history` takes its turn by itself, after it has waited for an event. */
const LARGE_ANSWERS: ReadonlySet<ProcedureName> = new Set([
	'plans.list',
	'plans.get',
	'plans.result',
	'steps.result',
	'reviews.list',
	'clients.list',
])

/** What every procedure knows of its caller, whatever the transport. */
export interface Context {
	readonly principal: Principal
	/** Names the request in the log; absent for a call that is no request of its own. */
	readonly requestId?: string | undefined
	/** Absent for a call that is a request of its own. */
	readonly turns?: AnswerTurns | undefined
}

/** Makes the context of a call from what its adapter gives. */
export type Authenticate = (ctx: Context) => Context | Promise<Context>

/** Our own transports have asked already. */
export const authenticate: Authenticate = (ctx) => ctx

/**
 * For calls under an application's own adapter. Whose they are says the authority alone, and nothing of the application's context goes
 * further, whatever its fields are called.
 */
export function authenticateHostCalls(authority: Authenticator): Authenticate {
	return async (ctx: unknown) => {
		const principal = await authority.identify({ via: 'router', headers: {}, token: null }, ctx)
		const names = typeof ctx === 'object' && ctx !== null ? Object.keys(ctx) : []
		return { ...Object.fromEntries(names.map((name) => [name, undefined])), principal }
	}
}

/** What is told of a failure nobody foresaw. */
export type OnProblem = (message: string, error?: Error, facts?: { readonly request_id?: string | undefined }) => void

/** What a procedure says of itself beside its schemas. */
export interface Meta {
	readonly scope: Scope
}

/** Milliseconds between two signs of life on tRPC's event streams. */
const SSE_HEARTBEAT_MS = 15_000
/** Heartbeats a client misses before it takes silence for a cut. */
const MISSED_HEARTBEATS = 2.5

export const t = initTRPC
	.context<Context>()
	.meta<Meta>()
	.create({
		isDev: false,
		errorFormatter: formatError,
		sse: {
			ping: { enabled: true, intervalMs: SSE_HEARTBEAT_MS },
			client: { reconnectAfterInactivityMs: SSE_HEARTBEAT_MS * MISSED_HEARTBEATS },
		},
	})

export interface ProcedureServices {
	/** Told of every failure nobody foresaw, once. */
	readonly onProblem: OnProblem
	/** The bytes of answers that wait for their clients. */
	readonly answers: AnswerBudget
}

/** The procedure that all others are made from: typed failures, who calls, then the caller's scope, then the border. */
export function createProcedure<Name extends ProcedureName>(
	name: Name,
	{ onProblem, answers }: ProcedureServices,
	admit: Authenticate,
) {
	const { scope, input: schema } = contract[name]
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
			answers.assertRoom()
			using _turn = LARGE_ANSWERS.has(name) ? await ctx.turns?.take() : undefined
			const result = await next()
			if (!result.ok || type !== 'query') return result
			// Answers that were made meanwhile count before this one is written.
			answers.assertRoom()
			ctx.turns?.count(result.data)
			return result
		})
		.use(async ({ next, getRawInput }) => {
			const rawInput = await getRawInput()
			if (rawInput !== undefined) checkJson(rawInput)
			return next({ ctx: { rawInput } })
		})
		.input<Contract[Name]['input']>(schema)
}

/**
 * Every transport asks this before a procedure's work begins.
 *
 * @throws PlanstreamError `forbidden` with the `scope` that is missing, `auth_expired`
 */
export function assertAllowed(principal: Principal, name: ProcedureName): void {
	assertScope(principal, contract[name].scope, name)
}

/**
 * @param what - what is asked for, as the beginning of a message
 * @throws PlanstreamError `forbidden` with the `scope` that is missing, `auth_expired`
 */
export function assertScope({ scopes, expired }: Principal, scope: Scope, what: string): void {
	expired?.throwIfAborted()
	if (scopes.has(scope)) return
	const message = `${what} needs the scope ${scope}, which your credentials do not have. Ask for a key that has it.`
	throw new PlanstreamError('forbidden', message, { scope })
}

/** Logs a failure nobody foresaw, and one whose answer leaves out where the store is, once, where it happened. Passes every failure on. */
export function reportFailures(
	error: PlanstreamError,
	onProblem: OnProblem,
	where: string,
	requestId?: string | undefined,
): PlanstreamError {
	const isHidden = error.cause instanceof PlanstreamError
	if (error.code !== 'internal' && !isHidden) return error
	const facts = requestId === undefined ? [] : [{ request_id: requestId }]
	onProblem(`${where} failed.`, error.cause instanceof Error ? error.cause : asPlanstreamError(error), ...facts)
	return error
}
