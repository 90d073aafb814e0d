import { PlanstreamError } from '@planstream/shared'
import { getTRPCErrorFromUnknown, getTRPCErrorShape, type TRPCError, type TRPCProcedureType } from '@trpc/server'
import { type ErrorShape, toTrpcError, toTypedError } from '../api/errors.js'
import { type OnProblem, reportFailures } from '../api/procedure.js'
import type { AppRouter } from '../api/router.js'

/** Limit of calls in one batch. */
export const MAX_BATCH_CALLS = 100

/** A call that failed. */
export interface FailedCall {
	readonly type: TRPCProcedureType | 'unknown'
	readonly path: string | undefined
	readonly input: unknown
}

/** Stands in for the call when it could not be read. */
export const NO_CALL: FailedCall = { type: 'unknown', path: undefined, input: undefined }

/**
 * Reports unexpected failures inside an adapter. Those of procedures are reported where they happen, and a peer that breaks the
 * connection or the protocol has its answer or is gone.
 */
export function reportAdapterFailures(onProblem: OnProblem): (failure: { readonly error: TRPCError }) => void {
	return ({ error }) => {
		const { cause, code } = error
		if (code !== 'INTERNAL_SERVER_ERROR' || cause instanceof PlanstreamError) return
		if (cause !== undefined && ('code' in cause || cause.name === 'AbortError')) return
		onProblem('A tRPC adapter failed.', cause ?? error)
	}
}

/** Shapes failures for tRPC clients. */
export class TrpcFailures {
	readonly #router: AppRouter
	readonly #onProblem: OnProblem
	readonly #report: (failure: { readonly error: TRPCError }) => void

	constructor(router: AppRouter, onProblem: OnProblem) {
		this.#router = router
		this.#onProblem = onProblem
		this.#report = reportAdapterFailures(onProblem)
	}

	/** Shapes a failure of a call, or of something before it. */
	toShape(thrown: unknown, call: FailedCall): ErrorShape {
		const error = getTRPCErrorFromUnknown(thrown)
		this.#report({ error })
		return getTRPCErrorShape({ config: this.#router._def._config, error, ctx: undefined, ...call })
	}

	/** Shapes and reports a failure of a connection, or of a stream that had started. */
	toStreamShape(thrown: unknown, call: FailedCall): ErrorShape {
		return this.toShape(
			toTrpcError(reportFailures(toTypedError(thrown), this.#onProblem, call.path ?? 'A tRPC connection')),
			call,
		)
	}
}

/** Puts the id of the last event into a subscription's input; tRPC's clients send it beside the input. */
export function addLastEventId(input: unknown, lastEventId: string | undefined): unknown {
	if (lastEventId === undefined) return input
	return isObject(input) ? { ...input, lastEventId } : (input ?? { lastEventId })
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
	return typeof value === 'object' && value !== null && !Array.isArray(value)
}
