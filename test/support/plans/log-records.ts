import { createHash } from 'node:crypto'
import type { PlanSummary } from '@planstream/shared'
import type { EventLog, LogRecord, PlanKey } from '../../../server/src/log/event-log.js'
import type { TailMetrics } from '../../../server/src/log/tail.js'

/** A log under test, closed when it is disposed. */
export interface OpenedLog extends AsyncDisposable {
	readonly log: EventLog & { readonly metrics: TailMetrics }
}

export const PLAN: PlanKey = { tenant: 'default', plan_id: 'plan-1' }

/** Creates a record whose text and digest follow from its id and content. */
export function record(event_id: string, { content = '', transient = false } = {}): LogRecord {
	const text = JSON.stringify({ event_type: 'custom', event_id, data: { content } })
	return { event_id, text, sent_digest: createHash('sha1').update(text).digest('hex'), transient }
}

/** Creates `count` records with the ids `prefix-0`, `prefix-1` ... */
export function records(prefix: string, count: number): LogRecord[] {
	return Array.from({ length: count }, (_, index) => record(`${prefix}-${index}`))
}

export function summary(plan_id: string, fields: Partial<PlanSummary> = {}): PlanSummary {
	const times = {
		created_at: '2026-01-01T00:00:00.000Z',
		started_at: null,
		finished_at: null,
		updated_at: '2026-01-01T00:00:00.000Z',
	}
	const rest = {
		owner: 'managed',
		status: 'running',
		finished: false,
		query: 'why',
		labels: {},
		revision: 1,
		progress: 0,
	} as const
	return { plan_id, ...rest, ...times, ...fields }
}

/** Returns the ids of all retained events of {@link PLAN}, in order. */
export async function eventIds(log: EventLog): Promise<string[]> {
	const { events } = await log.read(PLAN, 'start', 1000)
	return events.map(({ text }) => (JSON.parse(text) as { event_id: string }).event_id)
}
