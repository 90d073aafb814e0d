import type { ControlFrame, EndFrame, PlanEvent } from '@planstream/shared'
import type { StoredEvent } from '../log/event-log.js'

/** One item of a subscription: a stored event, or a control frame that is never stored. */
export type StreamItem =
	| { readonly kind: 'event'; readonly stored: StoredEvent }
	| { readonly kind: 'frame'; readonly frame: ControlFrame }

/** The last one. */
export interface EndItem {
	readonly kind: 'frame'
	readonly frame: EndFrame
}

const parsed = new WeakMap<StoredEvent, PlanEvent>()

/** The event behind a stored text, parsed once a process however many readers it has. */
export function eventOf(stored: StoredEvent): PlanEvent {
	const known = parsed.get(stored)
	if (known !== undefined) return known
	const event = JSON.parse(stored.text) as PlanEvent
	parsed.set(stored, event)
	return event
}

/** The item as JSON text, the same bytes on every transport. */
export function textOf(item: StreamItem): string {
	return item.kind === 'event' ? item.stored.text : JSON.stringify(item.frame)
}

/** Where a reader resumes that has seen this item; null when the item does not move it. */
export function cursorOf(item: StreamItem): string | null {
	return item.kind === 'event' ? item.stored.cursor : item.frame.cursor
}
