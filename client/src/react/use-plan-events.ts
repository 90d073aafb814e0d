import { useMemo } from 'react'
import type { PlanEvent } from '../generated/events.js'
import { usePlanView } from './use-plan.js'

export interface UsePlanEventsOptions<Item extends PlanEvent = PlanEvent> {
	/**
	 * Which events to show; what it lets through tells their type. Keep it outside the component or in `useCallback`: a new function
	 * filters all events again.
	 * @defaultValue all
	 */
	readonly filter?: ((event: PlanEvent) => event is Item) | ((event: PlanEvent) => boolean) | undefined
}

/** The events of a plan, and why no more come. */
export interface PlanEventsView<Item extends PlanEvent = PlanEvent> {
	/** In order, the newest 10,000 of the plan as far as the filter lets them through. */
	readonly events: readonly Item[]
	readonly error: Error | null
}

/**
 * The events of a plan from its start, each once and in order.
 *
 * @example
 * ```tsx
 * const isOutput = (event: PlanEvent) => event.event_type === 'step_output'
 * function Output({ plan_id }: { plan_id: string }) {
 * 	const { events } = usePlanEvents(plan_id, { filter: isOutput })
 * 	return <pre>{events.map((event) => event.data.delta).join('')}</pre>
 * }
 * ```
 */
export function usePlanEvents<Item extends PlanEvent = PlanEvent>(
	plan_id: string,
	options: UsePlanEventsOptions<Item> = {},
): PlanEventsView<Item> {
	const { filter } = options
	const { events, error } = usePlanView(plan_id, { initial: null, events: true })
	return useMemo(() => ({ events: (filter ? events.filter(filter) : events) as readonly Item[], error }), [events, error, filter])
}
