import type { HistoryOutput } from '@planstream/shared'
import type { historyInput } from '@planstream/shared/schemas'
import type * as z from 'zod'
import type { Schedule } from '../connections/schedule.js'
import type { Hub } from '../hub/hub.js'
import type { Principal } from '../hub/principal.js'
import { eventOf } from '../hub/stream-item.js'
import { positionOf } from './read-request.js'
import { joinSignals } from './signals.js'

export interface PlanHistoryOptions {
	readonly hub: Hub
	readonly principal: Principal
	readonly input: z.output<typeof historyInput>
	/** Each ends a wait: the reader left, its key is over, or the server stops. */
	readonly ends: readonly AbortSignal[]
	readonly schedule: Schedule
}

/**
 * One page of a plan's history. What JSON is made of it is the stored text of each event again, because that text is itself the JSON
 * of a parsed object.
 */
export async function planHistory({ hub, principal, input, ends, schedule }: PlanHistoryOptions): Promise<HistoryOutput> {
	const { plan_id, after, limit, wait_ms } = input
	const over = new AbortController()
	using _timer = wait_ms === 0 ? null : schedule(() => over.abort(), wait_ms)
	if (wait_ms === 0) over.abort()
	using waiting = joinSignals(over.signal, ...ends)
	const page = await hub.page(principal, plan_id, { after: positionOf(after), limit, waiting: waiting.signal })
	return { plan_id, event_count: page.events.length, ...page, events: page.events.map(eventOf) }
}
