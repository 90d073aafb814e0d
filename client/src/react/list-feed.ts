import type { Planstream } from '../client.js'
import type { ChangesInput } from '../generated/commands.js'
import type { PlanSummary } from '../generated/plans.js'
import type { Frames } from './frames.js'
import { SharedView, type Show } from './shared-view.js'

/** What is known of the list of plans. */
export interface ListView {
	/** The newest first; null until the list is known. */
	readonly plans: readonly PlanSummary[] | null
	/** Why nothing more comes; null while all is well. */
	readonly error: Error | null
}

export const UNKNOWN_LIST: ListView = { plans: null, error: null }

export interface ListFeedOptions {
	readonly planstream: Planstream
	readonly query: ChangesInput
	readonly onIdle: () => void
	readonly frames: Frames
}

/** One live list of plans for all components that show it. */
export function listFeed({ planstream, query, onIdle, frames }: ListFeedOptions): SharedView<ListView> {
	const follow = async (show: Show<ListView>, signal: AbortSignal): Promise<void> => {
		const known = new Map<string, PlanSummary>()
		try {
			for await (const { reset, plans, removed } of planstream.plans.changes(query, { signal })) {
				if (reset) known.clear()
				for (const plan of plans) known.set(plan.plan_id, plan)
				for (const plan_id of removed) known.delete(plan_id)
				show(() => ({ plans: newestFirst(known.values()), error: null }))
			}
		} catch (thrown) {
			const error = thrown instanceof Error ? thrown : new Error(String(thrown))
			show(() => ({ plans: newestFirst(known.values()), error }))
		}
	}
	return new SharedView({ initial: UNKNOWN_LIST, follow, onIdle, frames })
}

function newestFirst(plans: Iterable<PlanSummary>): readonly PlanSummary[] {
	return [...plans].sort((one, other) => Date.parse(other.created_at) - Date.parse(one.created_at))
}
