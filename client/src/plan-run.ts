import { isPlanFinished, PlanstreamError } from '@planstream/shared'
import type { CallOptions } from './calling.js'
import type { CreateInput } from './generated/commands.js'
import type { PlanEvent } from './generated/events.js'
import type { Json, PlanState } from './generated/plans.js'
import type { Procedures } from './generated/procedures.js'
import type { WatchPlanOptions } from './plan-watch.js'

/** The plan to run. */
export type RunInput = Omit<CreateInput, 'start'>

/** How a run is followed. */
export interface RunOptions extends CallOptions {
	/** Called with each event of the plan. */
	readonly onEvent?: ((event: PlanEvent) => void) | undefined
}

/** What a plan that was completed has come to. */
export interface RunOutput {
	readonly plan_id: string
	/** The results of the steps that no other step depends on, by their ids. */
	readonly result: Json
	/** The whole plan at its end. */
	readonly state: PlanState
}

/** What a run is made of. */
export interface RunPorts {
	readonly plans: Pick<Procedures['plans'], 'create' | 'result'>
	readonly watch: (plan_id: string, options: WatchPlanOptions) => AsyncIterable<PlanState>
	readonly makeId: () => string
	/** @throws PlanstreamError when the client was closed */
	readonly assertOpen: () => void
}

/**
 * Creates a plan, follows it to its end and gives its result. The plan is created under an idempotency key, so that an answer that
 * was lost does not make two of it.
 */
export async function runPlan(spec: RunInput, { signal, onEvent }: RunOptions, ports: RunPorts): Promise<RunOutput> {
	const { plan_id } = await ports.plans.create({ idempotency_key: ports.makeId(), ...spec }, { signal })
	let state: PlanState | null = null
	for await (const next of ports.watch(plan_id, { signal, onEvent, from: 'start' })) state = next
	signal?.throwIfAborted()
	ports.assertOpen()
	if (state === null || !isPlanFinished(state)) {
		throw new PlanstreamError('not_found', `The plan ${plan_id} was deleted before it was done.`, { plan_id })
	}
	if (state.status !== 'completed') throw refusalOf(state)
	const { result } = state.result_seq === undefined ? state : await ports.plans.result({ plan_id }, { signal })
	return { plan_id, result, state }
}

/** The error that stands for a plan which came to no result. */
function refusalOf({ plan_id, status, cursor, error, steps }: PlanState): PlanstreamError {
	const failed_step_ids = steps.filter((step) => step.status === 'failed').map(({ step_id }) => step_id)
	const facts = { plan_id, cursor, failed_step_ids, error }
	if (status === 'cancelled') {
		return new PlanstreamError('run_cancelled', `The plan ${plan_id} was cancelled; plans.retry runs the rest of it.`, facts)
	}
	const reason = error === null ? 'no reason was given' : `${error.message} (${error.code})`
	return new PlanstreamError('run_failed', `The plan ${plan_id} failed: ${reason}. plans.retry runs again what failed.`, facts)
}
