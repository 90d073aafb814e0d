import { type ClearOutput, type DeleteOutput, isFinished, type PlanState, PlanstreamError } from '@planstream/shared'
import type { Hub } from '../hub/hub.js'
import { unknownPlan } from '../hub/plan-fold.js'
import type { Principal } from '../hub/principal.js'
import { ALLOWED_ON_PLAN, refuseTransition } from './rules/input.js'

/**
 * Deletes a finished plan and its log, managed or external.
 *
 * @throws PlanstreamError `not_found`, `illegal_transition`
 */
export async function deletePlan(hub: Hub, principal: Principal, plan_id: string): Promise<DeleteOutput> {
	await assertDeletable(hub, principal, plan_id)
	await hub.remove({ tenant: principal.tenant, plan_id })
	return { plan_id, deleted: true }
}

/**
 * Drops the events of a finished plan and keeps its final state, managed or external.
 *
 * @throws PlanstreamError `not_found`, `illegal_transition`
 */
export async function clearPlan(hub: Hub, principal: Principal, plan_id: string): Promise<ClearOutput> {
	const { seq, cursor } = await readFinished(hub, principal, { plan_id, requested: 'clear' })
	const cleared = await hub.trim({ tenant: principal.tenant, plan_id }, seq + 1, 'cleared')
	return { plan_id, cleared, cursor }
}

interface RemovalRequest {
	readonly plan_id: string
	readonly requested: 'delete' | 'clear'
}

/** The status in the log's summary is enough to delete, so a plan whose state cannot be read can be deleted, too. */
async function assertDeletable(hub: Hub, { tenant }: Principal, plan_id: string): Promise<void> {
	const summary = await hub.summary({ tenant, plan_id })
	if (summary === null) throw unknownPlan(plan_id)
	assertFinished(summary, { plan_id, requested: 'delete' })
}

async function readFinished(hub: Hub, principal: Principal, request: RemovalRequest): Promise<PlanState> {
	const state = await hub.state(principal, request.plan_id)
	if (state === null) throw unknownPlan(request.plan_id)
	assertFinished(state, request)
	return state
}

function assertFinished({ owner, status }: Pick<PlanState, 'owner' | 'status'>, { plan_id, requested }: RemovalRequest): void {
	if (isFinished(status)) return
	if (owner === 'managed') refuseTransition(`Plan ${plan_id}`, status, requested, ALLOWED_ON_PLAN[status])
	const message = `Plan ${plan_id} is ${status}, so ${requested} was refused. It is external: publish the event that ends it first.`
	throw new PlanstreamError('illegal_transition', message, { from: status, requested, allowed: [] })
}
