import { PlanstreamError } from '@planstream/shared'
import { getTRPCErrorFromUnknown, getTRPCErrorShape, type TRPCError, type TRPCProcedureType } from '@trpc/server'
import { type ErrorShape, toTrpcError, toTypedError } from '../api/errors.js'
import { type OnProblem, reportFailures } from '../api/procedure.js'
import type { AppRouter } from '../api/router.js'

/** Calls in one batch at most. */
export const MAX_BATCH_CALLS = 100

/** What is known of a call that failed. */
export interface FailedCall {
	readonly type: TRPCProcedureType | 'unknown'
	readonly path: string | undefined
	readonly input: unknown
}

/** A failure before there is a call. */
export const NO_CALL: FailedCall = { type: 'unknown', path: undefined, input: undefined }

/**
 * Tells of failures inside an adapter that nobody foresaw. A procedure's own are typed and told where they happen, and
 * a peer that breaks its connection or the protocol has been answered or is gone.
 */
export function reportAdapterFailures(onProblem: OnProblem): (failure: { readonly error: TRPCError }) => void {
	return ({ error }) => {
		const { cause, code } = error
		if (code !== 'INTERNAL_SERVER_ERROR' || cause instanceof PlanstreamError) return
		if (cause !== undefined && ('code' in cause || cause.name === 'AbortError')) return
		onProblem('A tRPC adapter failed.', cause ?? error)
	}
}

/** What the clients of a router are told of its failures. */
export class TrpcFailures {
	readonly #router: AppRouter
	readonly #onProblem: OnProblem
	readonly #report: (failure: { readonly error: TRPCError }) => void

	constructor(router: AppRouter, onProblem: OnProblem) {
		this.#router = router
		this.#onProblem = onProblem
		this.#report = reportAdapterFailures(onProblem)
	}

	/** What a call, or what came before it, was refused for. */
	toShape(thrown: unknown, call: FailedCall): ErrorShape {
		const error = getTRPCErrorFromUnknown(thrown)
		this.#report({ error })
		return getTRPCErrorShape({ config: this.#router._def._config, error, ctx: undefined, ...call })
	}

	/** What broke a stream off that had begun. */
	toStreamShape(thrown: unknown, call: FailedCall): ErrorShape {
		return this.toShape(toTrpcError(reportFailures(toTypedError(thrown), this.#onProblem, call.path ?? '')), call)
	}
}

/** The input of a subscription that goes on behind an event, whose id tRPC's clients send beside it. */
export function addLastEventId(input: unknown, lastEventId: string | undefined): unknown {
	if (lastEventId === undefined) return input
	return isObject(input) ? { ...input, lastEventId } : (input ?? { lastEventId })
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
	return typeof value === 'object' && value !== null && !Array.isArray(value)
}
