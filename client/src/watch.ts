import { applyEvent, initialPlanState, isPlanFinished, PlanstreamError } from '@planstream/shared'
import type { CreateInput, SubscribeInput } from './generated/commands.js'
import type { PlanEvent } from './generated/events.js'
import type { Json, PlanState } from './generated/plans.js'
import type { Procedures } from './generated/procedures.js'
import { PlanReader, type Received } from './stream-reader.js'
import type { SubscriptionTarget } from './subscription.js'
import type { CallOptions, StreamRoute, SubscribeOptions } from './types.js'

export interface FoldingOptions {
	/** The state the position stands for; null when the stream begins with one, or with the first event. */
	readonly from: PlanState | null
	readonly onEvent: ((event: PlanEvent) => void) | undefined
}

/** Makes states of what a plan's stream brings: one after each event, and one wherever the server gives one. */
export function folding(plan_id: string, { from, onEvent }: FoldingOptions): (received: Received) => PlanState | null {
	let state = from ?? initialPlanState(plan_id, 'external')
	return ({ event, unknown, frame }) => {
		if (event) onEvent?.(event)
		const news = event ?? (unknown as PlanEvent | null) // the reducer is total: of an unknown type it takes the position alone
		if (news) {
			state = applyEvent(state, news)
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

/** How the state of a plan is watched. */
export interface WatchPlanOptions extends SubscribeOptions {
	/**
	 * Where to begin: `now` gives the present state first, `start` one state for each event there is, and a state you have goes on behind
	 * its cursor.
	 * @defaultValue `'now'`
	 */
	readonly from?: 'now' | 'start' | PlanState | undefined
	/**
	 * `until_done` ends with the plan; `always` stays for a retry.
	 * @defaultValue `'until_done'`
	 */
	readonly follow?: SubscribeInput['follow']
	/** Called with each event before the state it leads to. */
	readonly onEvent?: ((event: PlanEvent) => void) | undefined
}

/** The subscription whose items are the states of a plan. It hides no event, because a state is made of all of them. */
export function watchTarget(route: StreamRoute, plan_id: string, options: WatchPlanOptions): SubscriptionTarget<PlanState> {
	const { from = 'now', follow, onEvent, signal } = options
	const begin = typeof from === 'string' ? { after: from, snapshot: true } : { after: from.cursor }
	const input: SubscribeInput = { plan_id, ...begin, ...(follow === undefined ? {} : { follow }) }
	const means = folding(plan_id, { from: typeof from === 'string' ? null : from, onEvent })
	return { route, input, reader: new PlanReader(options, means), signal }
}

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
