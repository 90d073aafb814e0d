import { applyEvent, initialPlanState, type PlanEvent, type PlanState } from '@planstream/shared'
import { planSpec, publishInput } from '@planstream/shared/schemas'

export const stateAfter = (events: readonly PlanEvent[]): PlanState =>
	events.reduce(applyEvent, initialPlanState('hello', 'external'))

export const steps = planSpec.parse({ query: 'Which?', steps: [] }).steps.map(({ step_id }) => step_id)
export const batch = publishInput.safeParse({}).data?.events.length ?? 0

// @ts-expect-error a state is not a string
export const wrong = applyEvent(initialPlanState('hello', 'managed'), 'plan_started')
