import { createPlanstreamClient, type Planstream, type PlanstreamClientOptions, type WatchPlanOptions } from '@planstream/client'

export interface WatchCountingClient extends Planstream {
	/** The start of each watch, in order. */
	readonly watched: { readonly plan_id: string; readonly from: WatchPlanOptions['from'] }[]
}

/** Creates a client that records the plans it watches. */
export function createWatchCountingClient(options: PlanstreamClientOptions): WatchCountingClient {
	const planstream = createPlanstreamClient(options)
	const { plans } = planstream
	const watched: WatchCountingClient['watched'] = []
	const watch: Planstream['plans']['watch'] = (plan_id, watchOptions = {}) => {
		watched.push({ plan_id, from: watchOptions.from })
		return plans.watch(plan_id, watchOptions)
	}
	return Object.assign(planstream, { plans: { ...plans, watch }, watched })
}
