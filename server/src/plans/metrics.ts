import { type ParsedEvent, STEP_STATUSES } from '@planstream/shared'
import type { PlanFold } from '../hub/plan-fold.js'

/** Whether a plan is one that reports numbers, and at work. */
export function isMetered({ plan, state }: PlanFold): boolean {
	return plan?.metrics_interval_ms != null && (state.status === 'running' || state.status === 'pausing')
}

/**
 * How a plan stands, in numbers: its steps by their status, attempts, events, output, and what completed steps have used.
 *
 * @param window_ms - the time since the numbers before these
 */
export function metricsOf({ state, output_characters }: PlanFold, window_ms: number): ParsedEvent {
	const data: Record<string, number> = { window_ms }
	for (const status of STEP_STATUSES) data[`steps_${status}`] = state.steps.filter((step) => step.status === status).length
	data.attempts = state.steps.reduce((sum, step) => sum + step.attempt, 0)
	data.events = state.seq
	data.output_characters = output_characters
	for (const { usage } of state.steps) {
		for (const [name, amount] of Object.entries(usage ?? {})) data[`usage.${name}`] = (data[`usage.${name}`] ?? 0) + amount
	}
	return { event_type: 'metrics_update', step_id: null, data }
}
