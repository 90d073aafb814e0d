import { useCallback, useState, useSyncExternalStore } from 'react'
import type { PlanState } from '../generated/plans.js'
import { useShared } from './context.js'
import { type PlanView, viewOf } from './plan-feed.js'

export interface UsePlanOptions {
	/**
	 * The state to show until the server is heard, as a server that rendered the page got it from `plans.get`. The subscription goes
	 * on behind its cursor. It counts once for each plan.
	 */
	readonly initialState?: PlanState | undefined
}

/**
 * A plan as it is now, through all its changes.
 *
 * @returns `state` is null until the plan is known; `error` says why nothing more comes
 * @example
 * ```tsx
 * function Progress({ plan_id }: { plan_id: string }) {
 * 	const { state } = usePlan(plan_id)
 * 	return <progress value={state?.progress ?? 0} />
 * }
 * ```
 */
export function usePlan(plan_id: string, { initialState }: UsePlanOptions = {}): Pick<PlanView, 'state' | 'error'> {
	return usePlanView(plan_id, { initial: initialState ?? null, events: false })
}

/** What is known of a plan, from the one subscription that all components share. */
export function usePlanView(
	plan_id: string,
	{ initial, events }: { readonly initial: PlanState | null; readonly events: boolean },
): PlanView {
	const { feeds } = useShared()
	const [given, setGiven] = useState({ plan_id, view: viewOf(initial) })
	if (given.plan_id !== plan_id) setGiven({ plan_id, view: viewOf(initial) })
	const before = given.view
	const subscribe = useCallback(
		(listener: () => void) => feeds.plan(plan_id, before.state).subscribe(listener, { events }),
		[feeds, plan_id, before, events],
	)
	const current = (): PlanView => feeds.known(plan_id)?.view ?? before
	return useSyncExternalStore(subscribe, current, () => before)
}
