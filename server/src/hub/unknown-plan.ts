import { PlanstreamError } from '@planstream/shared'

/** Says that a tenant has no plan of an id; one of another tenant is unknown like one that never was. */
export function unknownPlan(plan_id: string): PlanstreamError {
	return new PlanstreamError('not_found', `There is no plan ${plan_id}. Check the id, or create the plan first.`, { plan_id })
}
