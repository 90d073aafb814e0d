'use client'

export { PlanstreamProvider, type PlanstreamProviderProps } from './context.js'
export type { ListView } from './list-feed.js'
export type { PlanView } from './plan-feed.js'
export { type UsePlanOptions, usePlan } from './use-plan.js'
export { type PlanCommand, usePlanCommand } from './use-plan-command.js'
export { type PlanEventsView, type UsePlanEventsOptions, usePlanEvents } from './use-plan-events.js'
export { usePlans } from './use-plans.js'
