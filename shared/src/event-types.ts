/** Every event type; the data of each is in `events.ts` and in PROTOCOL.md section 2. */
export const EVENT_TYPES = [
	'plan_created',
	'plan_started',
	'plan_completed',
	'plan_failed',
	'plan_pausing',
	'plan_paused',
	'plan_resumed',
	'plan_cancelling',
	'plan_cancelled',
	'plan_modified',
	'step_started',
	'step_progress',
	'step_output',
	'step_completed',
	'step_failed',
	'step_retrying',
	'step_skipped',
	'step_cancelled',
	'quality_check',
	'review_required',
	'review_resolved',
	'metrics_update',
	'health_update',
	'error',
	'ping',
	'pong',
] as const
export type EventType = (typeof EVENT_TYPES)[number]

/** Types that report progress without changing what a plan may do next; they do not raise a log's `state_seq`. */
export const TRANSIENT_EVENT_TYPES: ReadonlySet<EventType> = new Set(['step_progress', 'step_output', 'metrics_update'])

/** Types that exist on live connections only and are never stored. */
export const LIVE_EVENT_TYPES: ReadonlySet<EventType> = new Set(['ping', 'pong'])

/** Types whose events may be as large as a whole plan, because they hold the plan or may name each of its steps. */
export const LARGE_EVENT_TYPES: ReadonlySet<EventType> = new Set([
	'plan_created',
	'plan_modified',
	'plan_completed',
	'plan_failed',
	'plan_pausing',
	'plan_cancelling',
	'step_started',
])
