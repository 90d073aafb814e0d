import type { StreamRoute, SubscribeOptions } from './calling.js'
import { folding } from './folding.js'
import type { SubscribeInput } from './generated/commands.js'
import type { PlanEvent } from './generated/events.js'
import type { PlanState } from './generated/plans.js'
import { PlanReader } from './stream-reader.js'
import type { SubscriptionTarget } from './subscription.js'

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
