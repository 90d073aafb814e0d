/** The statuses of a plan; see the state machine in docs/plans.md. */
export const PLAN_STATUSES = [
	'pending',
	'running',
	'pausing',
	'paused',
	'cancelling',
	'completed',
	'failed',
	'cancelled',
] as const
export type PlanStatus = (typeof PLAN_STATUSES)[number]

/** The statuses of a step. `ready` is derived: a pending step whose dependencies are all done. */
export const STEP_STATUSES = [
	'pending',
	'ready',
	'running',
	'retrying',
	'awaiting_review',
	'completed',
	'failed',
	'skipped',
	'cancelled',
] as const
export type StepStatus = (typeof STEP_STATUSES)[number]

/** The owner of a plan, which appends its events: the executor of this server, or an external producer. */
export const PLAN_OWNERS = ['managed', 'external'] as const
export type PlanOwner = (typeof PLAN_OWNERS)[number]

export const FINISHED_PLAN_STATUSES = ['completed', 'failed', 'cancelled'] as const satisfies readonly PlanStatus[]
export type FinishedPlanStatus = (typeof FINISHED_PLAN_STATUSES)[number]

/** Tells whether a status is final. A retry may still reopen a failed or cancelled plan. */
export function isFinished(status: PlanStatus): status is FinishedPlanStatus {
	return (FINISHED_PLAN_STATUSES as readonly PlanStatus[]).includes(status)
}
