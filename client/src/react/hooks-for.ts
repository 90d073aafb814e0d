import type { FunctionComponent } from 'react'
import type { AgentTypes, PlanstreamFor, TypedPlanEvent } from '../typed-agents.js'
import { PlanstreamProvider, type PlanstreamProviderProps } from './context.js'
import { type PlanCommand, usePlanCommand } from './use-plan-command.js'
import { type PlanEventsView, usePlanEvents } from './use-plan-events.js'

/** The provider of a client that knows its agents, and the hooks whose types tell what these take and give. */
export interface HooksFor<Agents extends AgentTypes<Agents>> {
	readonly PlanstreamProvider: FunctionComponent<
		Omit<PlanstreamProviderProps, 'client'> & { readonly client: PlanstreamFor<Agents> }
	>
	/** {@link usePlanEvents}, in which the result of a step is told by the `agent_type` beside it. */
	usePlanEvents<Item extends TypedPlanEvent<Agents> = TypedPlanEvent<Agents>>(
		plan_id: string,
		options?: {
			readonly filter?:
				| ((event: TypedPlanEvent<Agents>) => event is Item)
				| ((event: TypedPlanEvent<Agents>) => boolean)
				| undefined
		},
	): Omit<PlanEventsView, 'events'> & { readonly events: readonly Item[] }
	/** {@link usePlanCommand}, whose commands are held to what the agents take. */
	usePlanCommand(): Omit<PlanCommand, 'send'> & {
		readonly send: <Output>(command: (planstream: PlanstreamFor<Agents>) => Promise<Output>) => Promise<Output | undefined>
	}
}

/**
 * The hooks for the agents of an SDK that `planstream generate` has written.
 *
 * @example
 * ```tsx
 * import type { Agents } from './planstream'
 *
 * export const { PlanstreamProvider, usePlanEvents, usePlanCommand } = hooksFor<Agents>()
 * ```
 */
export function hooksFor<Agents extends AgentTypes<Agents>>(): HooksFor<Agents> {
	return { PlanstreamProvider, usePlanEvents, usePlanCommand } as unknown as HooksFor<Agents>
}
