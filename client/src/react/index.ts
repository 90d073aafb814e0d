'use client'

export type { ListView, PlanView } from './feeds.js'
export {
	type HooksFor,
	hooksFor,
	type PlanCommand,
	type PlanEventsView,
	type UsePlanEventsOptions,
	type UsePlanOptions,
	usePlan,
	usePlanCommand,
	usePlanEvents,
	usePlans,
} from './hooks.js'
export { PlanstreamProvider, type PlanstreamProviderProps } from './provider.js'
