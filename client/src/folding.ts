import { applyEvent, initialPlanState } from '@planstream/shared'
import type { PlanEvent } from './generated/events.js'
import type { PlanState } from './generated/plans.js'
import type { Received } from './position.js'

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
