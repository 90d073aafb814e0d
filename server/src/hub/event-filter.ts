import type { EventType } from '@planstream/shared'
import type { StoredEvent } from '../log/event-log.js'
import { eventOf } from './stream-item.js'

/** Which of a plan's events a reader wants to see. */
export interface FilterRequest {
	readonly event_types?: ReadonlySet<EventType>
	readonly step_id?: string
}

export interface EventFilter {
	/** The same for filters that show the same. */
	readonly key: string
	readonly shows: (stored: StoredEvent) => boolean
}

/** @returns null for who wants to see everything */
export function eventFilter({ event_types, step_id }: FilterRequest): EventFilter | null {
	if (event_types === undefined && step_id === undefined) return null
	return {
		key: JSON.stringify([event_types === undefined ? null : [...event_types].sort(), step_id ?? null]),
		shows: (stored) => {
			const event = eventOf(stored)
			return (event_types?.has(event.event_type) ?? true) && (step_id === undefined || event.step_id === step_id)
		},
	}
}
