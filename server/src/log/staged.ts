import { PlanstreamError } from '@planstream/shared'
import type { PlanKey } from './event-log.js'

/** No tenant has this name; a store forgets its logs when it is opened, because whoever was making them is gone. */
export const STAGING_TENANT = '~staging'

/** Where the log of a plan is put together until it is whole and can be renamed. */
export function stagedKey({ tenant, plan_id }: PlanKey): PlanKey {
	return { tenant: STAGING_TENANT, plan_id: `${tenant}/${plan_id}` }
}

/** What a store answers when a log is to be made under a key that has one. */
export function takenError({ tenant, plan_id }: PlanKey): PlanstreamError {
	if (tenant === STAGING_TENANT) {
		const named = plan_id.slice(plan_id.indexOf('/') + 1)
		const sentence = `Plan ${named} is being imported already. Wait for that import to end.`
		return new PlanstreamError('conflict', sentence, { plan_id: named })
	}
	const sentence = `There is a plan ${plan_id} already. Delete it first, or give the other one another id.`
	return new PlanstreamError('conflict', sentence, { plan_id })
}

export function nothingToRename({ plan_id }: PlanKey): PlanstreamError {
	return new PlanstreamError('not_found', `There is no log of plan ${plan_id} to rename. It was removed in the meantime.`, {
		plan_id,
	})
}
