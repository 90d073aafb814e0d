import type { ChangesOutput } from '@planstream/shared'
import type { changesInput } from '@planstream/shared/schemas'
import type * as z from 'zod'
import type { Schedule } from '../connections/schedule.js'
import type { Hub } from '../hub/hub.js'
import type { Principal } from '../hub/principal.js'
import { toTrpcError, typedError } from './errors.js'
import { listQuery } from './list-plans.js'
import { type OnProblem, reported } from './procedure.js'
import { aborted, joinSignals } from './signals.js'

export interface PlanChangesOptions {
	readonly hub: Hub
	readonly principal: Principal
	readonly input: z.output<typeof changesInput>
	/** Aborts when the reader is gone. */
	readonly signal: AbortSignal
	/** Aborts when the server stops. */
	readonly draining: AbortSignal
	readonly schedule: Schedule
	readonly onProblem: OnProblem
}

/**
 * The live list of plans for tRPC. It ends with its reader only: when the server stops, the reader's connection is cut, so that the stock
 * client asks for it again.
 */
export async function* livePlanList(options: PlanChangesOptions): AsyncGenerator<ChangesOutput, void, void> {
	const { hub, principal, input, signal, draining, schedule, onProblem } = options
	try {
		using ending = joinSignals(signal, draining, principal.expired)
		yield* hub.changes(principal, listQuery(input), { signal: ending.signal, schedule })
		await aborted(signal)
	} catch (thrown) {
		throw toTrpcError(reported(typedError(thrown), onProblem, 'plans.changes'))
	}
}
