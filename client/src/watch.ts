import { applyEvent, initialPlanState, isPlanFinished, PlanstreamError } from '@planstream/shared'
import { callWithin } from './callbacks.js'
import type { CreateInput, SubscribeInput } from './generated/commands.js'
import type { PlanEvent } from './generated/events.js'
import type { Json, PlanState } from './generated/plans.js'
import type { Procedures } from './generated/procedures.js'
import { PlanReader, type Received } from './stream-reader.js'
import type { SubscriptionTarget } from './subscription.js'
import type { CallOptions, StreamRoute, SubscribeOptions } from './types.js'

export interface FoldOptions {
	/** The state at the position; null when the stream begins with one, or with the first event. */
	readonly from: PlanState | null
	readonly onEvent: ((event: PlanEvent) => void) | undefined
}

/** Folds the stream of a plan into states: one after each event, and one wherever the server sends one. */
export function foldStates(plan_id: string, { from, onEvent }: FoldOptions): (received: Received) => PlanState | null {
	let state = from ?? initialPlanState(plan_id, 'external')
	return ({ event, unknown, frame }) => {
		if (event) callWithin(onEvent, event)
		const next = event ?? (unknown as PlanEvent | null) // the reducer is total: an unknown type only moves the position
		if (next) {
			state = applyEvent(state, next)
			return state
		}
		if (frame?.frame !== 'ready') return null
		const { reset, state: given, owner } = frame
		if (given === null && reset === null) {
			state = { ...state, owner: owner ?? state.owner }
			return null
		}
		state = given ?? initialPlanState(plan_id, owner ?? state.owner)
		return given !== null && given.seq > 0 ? state : null
	}
}

/** The options of watching the state of a plan. */
export interface WatchPlanOptions extends SubscribeOptions {
	/**
	 * Where to begin: `now` yields the current state first, `start` yields one state for each past event, and a state you already have
	 * continues after its cursor.
	 * @defaultValue `'now'`
	 */
	readonly from?: 'now' | 'start' | PlanState | undefined
	/**
	 * `until_done` ends with the plan; `always` keeps watching for a retry.
	 * @defaultValue `'until_done'`
	 */
	readonly follow?: SubscribeInput['follow']
	/** Called with each event, before the resulting state is yielded. */
	readonly onEvent?: ((event: PlanEvent) => void) | undefined
}

/** Builds the subscription whose items are the states of a plan. It filters no events, because the state depends on all of them. */
export function buildWatchTarget(route: StreamRoute, plan_id: string, options: WatchPlanOptions): SubscriptionTarget<PlanState> {
	const { from = 'now', follow, onEvent, signal } = options
	const begin = typeof from === 'string' ? { after: from, snapshot: true } : { after: from.cursor }
	const input: SubscribeInput = { plan_id, ...begin, ...(follow === undefined ? {} : { follow }) }
	const interpret = foldStates(plan_id, { from: typeof from === 'string' ? null : from, onEvent })
	return { route, input, reader: new PlanReader(options, interpret), signal }
}

/** The plan to run. */
export type RunInput = Omit<CreateInput, 'start'>

/** The options of following a run. */
export interface RunOptions extends CallOptions {
	/** Called with each event of the plan. */
	readonly onEvent?: ((event: PlanEvent) => void) | undefined
}

/** The outcome of a completed plan. */
export interface RunOutput {
	readonly plan_id: string
	/** The results of the steps that no other step depends on, by their ids. */
	readonly result: Json
	/** The final state of the plan. */
	readonly state: PlanState
}

/** The dependencies of a run. */
export interface RunPorts {
	readonly plans: Pick<Procedures['plans'], 'create' | 'result'>
	readonly watch: (plan_id: string, options: WatchPlanOptions) => AsyncIterable<PlanState>
	readonly makeId: () => string
	/** @throws PlanstreamError if the client is closed */
	readonly assertOpen: () => void
}

/**
 * Creates a plan, follows it to its end and returns its result. The idempotency key keeps a lost response from creating the plan twice.
 */
export async function runPlan(spec: RunInput, { signal, onEvent }: RunOptions, ports: RunPorts): Promise<RunOutput> {
	const { plan_id } = await ports.plans.create({ idempotency_key: ports.makeId(), ...spec }, { signal })
	let state: PlanState | null = null
	for await (const next of ports.watch(plan_id, { signal, onEvent, from: 'start' })) state = next
	signal?.throwIfAborted()
	ports.assertOpen()
	if (state === null || !isPlanFinished(state)) {
		throw new PlanstreamError('not_found', `Plan ${plan_id} was deleted before it finished.`, { plan_id })
	}
	if (state.status !== 'completed') throw createRunError(state)
	const { result } = state.result_seq === undefined ? state : await ports.plans.result({ plan_id }, { signal })
	return { plan_id, result, state }
}

/** Makes the error for a plan that ended without a result. */
function createRunError({ plan_id, status, cursor, error, steps }: PlanState): PlanstreamError {
	const failed_step_ids = steps.filter((step) => step.status === 'failed').map(({ step_id }) => step_id)
	const facts = { plan_id, cursor, failed_step_ids, error }
	if (status === 'cancelled') {
		return new PlanstreamError('run_cancelled', `Plan ${plan_id} was cancelled. Use plans.retry to run the rest of it.`, facts)
	}
	const reason = error === null ? 'no reason given' : `${error.message} (${error.code})`
	return new PlanstreamError(
		'run_failed',
		`Plan ${plan_id} failed: ${reason}. Use plans.retry to run the failed steps again.`,
		facts,
	)
}
