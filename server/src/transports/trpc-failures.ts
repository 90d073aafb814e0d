import { PlanstreamError } from '@planstream/shared'
import type { TRPCError } from '@trpc/server'
import type { OnProblem } from '../api/procedure.js'

/** Calls in one batch at most. */
export const MAX_BATCH_CALLS = 100

/**
 * Tells of failures inside the adapter that nobody foresaw. A procedure's own are typed and told where they happen, and
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
