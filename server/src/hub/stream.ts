import type { ControlFrame, EndFrame, PlanEvent } from '@planstream/shared'
import type { StoredEvent } from '../log/event-log.js'

/** One item of a subscription: a stored event, or a control frame that is never stored. */
export type StreamItem =
	| { readonly kind: 'event'; readonly stored: StoredEvent }
	| { readonly kind: 'frame'; readonly frame: ControlFrame }

/** The last item of a stream. */
export interface EndItem {
	readonly kind: 'frame'
	readonly frame: EndFrame
}

const parsed = new WeakMap<StoredEvent, PlanEvent>()

/** Parses a stored event, once per process however many readers it has. */
export function parseEvent(stored: StoredEvent): PlanEvent {
	const known = parsed.get(stored)
	if (known !== undefined) return known
	const event = JSON.parse(stored.text) as PlanEvent
	parsed.set(stored, event)
	return event
}

/** Encodes an item as JSON text, the same on every transport. */
export function encodeItem(item: StreamItem): string {
	return item.kind === 'event' ? item.stored.text : JSON.stringify(item.frame)
}

/** Returns the cursor from which to resume after an item; null when the item does not move the position. */
export function getResumeCursor(item: StreamItem): string | null {
	return item.kind === 'event' ? item.stored.cursor : item.frame.cursor
}
