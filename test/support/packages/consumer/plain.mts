import { createPlanstreamClient, type PlanEvent } from '@planstream/client'

/** Follows a plan in a project that has the libraries of its target alone. */
export async function follow(plan_id: string): Promise<PlanEvent[]> {
	const seen: PlanEvent[] = []
	for await (const event of createPlanstreamClient({ url: '/' }).plans.events({ plan_id })) seen.push(event)
	return seen
}
