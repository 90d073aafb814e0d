/** The states a plan passes through; see the state machine in docs/plans.md. */
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

/** The states a step passes through. `ready` is derived: a pending step whose dependencies are all done. */
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

/** Who may append to a plan: this server's own executor, or a producer elsewhere. */
export const PLAN_OWNERS = ['managed', 'external'] as const
export type PlanOwner = (typeof PLAN_OWNERS)[number]

export const FINISHED_PLAN_STATUSES = ['completed', 'failed', 'cancelled'] as const satisfies readonly PlanStatus[]
export type FinishedPlanStatus = (typeof FINISHED_PLAN_STATUSES)[number]

/** True when the plan's events have come to an end (a failed or cancelled plan may still be reopened by a retry). */
export function isFinished(status: PlanStatus): status is FinishedPlanStatus {
	return (FINISHED_PLAN_STATUSES as readonly PlanStatus[]).includes(status)
}
