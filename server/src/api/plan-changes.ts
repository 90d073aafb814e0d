import type { ChangesOutput } from '@planstream/shared'
import type { changesInput } from '@planstream/shared/schemas'
import type * as z from 'zod'
import { aborted } from '../connections/back-pressure.js'
import type { Carrier } from '../connections/carrier.js'
import type { Schedule } from '../connections/schedule.js'
import type { Hub } from '../hub/hub.js'
import type { Principal } from '../hub/principal.js'
import { toTrpcError, typedError } from './errors.js'
import { listQuery } from './list-plans.js'
import { type OnProblem, reported } from './procedure.js'
import { joinSignals } from './signals.js'

export interface PlanChangesOptions {
	readonly hub: Hub
	readonly principal: Principal
	readonly carrier: Carrier | undefined
	readonly input: z.output<typeof changesInput>
	/** Aborts when the reader is gone. */
	readonly signal: AbortSignal
	/** Aborts when the server stops. */
	readonly draining: AbortSignal
	readonly schedule: Schedule
	readonly onProblem: OnProblem
}

/**
 * The live list of plans for tRPC. It ends with its reader only: when the server stops it is cut, so that the stock client asks for it
 * again.
 */
export async function* livePlanList(options: PlanChangesOptions): AsyncGenerator<ChangesOutput, void, void> {
	const { hub, principal, carrier, input, signal, draining, schedule, onProblem } = options
	try {
		using ending = joinSignals(signal, draining, principal.expired)
		using stream = carrier?.begin(null)
		for await (const change of hub.changes(principal, listQuery(input), { signal: ending.signal, schedule })) {
			using turn = await stream?.turn(ending.signal)
			if (turn === null) break
			yield change
		}
		await (stream === undefined ? aborted(signal) : stream.cut(signal))
	} catch (thrown) {
		if (thrown instanceof Error && thrown.name === 'AbortError') throw thrown
		throw toTrpcError(reported(typedError(thrown), onProblem, 'plans.changes'))
	}
}
