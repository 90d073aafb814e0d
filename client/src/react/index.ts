'use client'

export type { ListView, PlanView } from './feeds.js'
export {
	type HooksFor,
	hooksFor,
	type PlanCommand,
	type PlanEventsView,
	type PlanStateView,
	type UsePlanEventsOptions,
	type UsePlanOptions,
	useConnection,
	usePlan,
	usePlanCommand,
	usePlanEvents,
	usePlans,
} from './hooks.js'
export { PlanstreamProvider, type PlanstreamProviderProps } from './provider.js'
