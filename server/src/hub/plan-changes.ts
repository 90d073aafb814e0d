import type { ChangesOutput, PlanSummary } from '@planstream/shared'
import type { Schedule } from '../connections/schedule.js'
import type { EventLog, ListQuery } from '../log/event-log.js'
import { Bell } from './bell.js'

/** Milliseconds from one item to the next at least: changes in between become one. */
export const CHANGES_INTERVAL_MS = 250

/** What somebody was shown: the text of each summary by its plan. */
type Shown = ReadonlyMap<string, string>

export interface ChangesRequest {
	/** Whose plans, which of them, and how many of the newest. */
	readonly query: ListQuery
	readonly signal: AbortSignal
	readonly schedule: Schedule
}

/** The newest plans that match, then what changes among them, until the signal aborts. */
export async function* planChanges(log: EventLog, request: ChangesRequest): AsyncGenerator<ChangesOutput, void, void> {
	const { query, signal, schedule } = request
	const bell = new Bell()
	using _watch = log.watch({ tenant: query.tenant }, () => bell.ring())
	let shown: Shown | null = null
	while (!signal.aborted) {
		const { plans } = await log.list(query)
		const change = changeOf(shown, plans)
		shown = new Map(plans.map((plan) => [plan.plan_id, JSON.stringify(plan)]))
		if (change !== null) yield change
		await pause(schedule, signal)
		await bell.wait(signal)
	}
}

/**
 * What to tell somebody who was shown a page and is to see another one.
 *
 * @param shown - null before the first page
 * @returns null when nothing differs
 */
export function changeOf(shown: Shown | null, plans: readonly PlanSummary[]): ChangesOutput | null {
	if (shown === null) return { reset: true, plans, removed: [] }
	const changed = plans.filter((plan) => shown.get(plan.plan_id) !== JSON.stringify(plan))
	const kept = new Set(plans.map(({ plan_id }) => plan_id))
	const removed = [...shown.keys()].filter((plan_id) => !kept.has(plan_id))
	return changed.length + removed.length === 0 ? null : { reset: false, plans: changed, removed }
}

function pause(schedule: Schedule, signal: AbortSignal): Promise<void> {
	return new Promise((resolve) => {
		const timer = schedule(end, CHANGES_INTERVAL_MS)
		function end(): void {
			timer[Symbol.dispose]()
			signal.removeEventListener('abort', end)
			resolve()
		}
		signal.addEventListener('abort', end)
		if (signal.aborted) end()
	})
}
