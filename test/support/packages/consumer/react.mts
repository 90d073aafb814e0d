import type { PlanEvent, StepProgressEvent } from '@planstream/client'
import { usePlan, usePlanCommand, usePlanEvents } from '@planstream/client/react'

const isProgress = (event: PlanEvent): event is StepProgressEvent => event.event_type === 'step_progress'

export function useWords(plan_id: string): string {
	const { state } = usePlan(plan_id)
	const { events } = usePlanEvents(plan_id, { filter: isProgress })
	return state?.query ?? events.map((event) => event.data.message).join()
}

export const useCommand = () => usePlanCommand()

// @ts-expect-error a plan is named by its id
export const useNothing = () => usePlan({ plan: 'hello' })
