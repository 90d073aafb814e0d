import { EVENT_TYPES } from '@planstream/shared'
import type { UnknownEvent } from './calling.js'
import type { PlanEvent } from './generated/events.js'
import type { ControlFrame } from './generated/frames.js'
import type { Delivery } from './transports/transport.js'

/** How far a subscription has come. */
export interface Position {
	/** Resume behind this; null before the first item. */
	readonly cursor: string | null
	/** Sequence number of the last event seen. */
	readonly seq: number
}

export const UNKNOWN_POSITION: Position = { cursor: null, seq: 0 }

/** What one item means: a new event, a control frame, or nothing that is news. */
export interface Received {
	readonly position: Position
	readonly event: PlanEvent | null
	/** An event of a type that this version does not know. */
	readonly unknown: UnknownEvent | null
	readonly frame: ControlFrame | null
}

const KNOWN_TYPES: ReadonlySet<string> = new Set(EVENT_TYPES)
const KNOWN_FRAMES: ReadonlySet<string> = new Set<ControlFrame['frame']>(['ready', 'position', 'end', 'problem'])

const NOTHING = { event: null, unknown: null, frame: null }

/** Takes one item. An event seen before is dropped; one of a type this client does not know moves the position too. */
export function receive(position: Position, { item, cursor }: Delivery): Received {
	if (isFrame(item)) return { ...NOTHING, position: afterFrame(position, item), frame: item }
	if (!isEvent(item) || item.seq <= position.seq) return { ...NOTHING, position }
	const meaning = isKnown(item) ? { event: item } : { unknown: item }
	return { ...NOTHING, ...meaning, position: { cursor: cursor ?? item.cursor, seq: item.seq } }
}

function afterFrame(position: Position, frame: ControlFrame): Position {
	switch (frame.frame) {
		case 'ready': {
			const seq = frame.from_seq - 1
			return frame.reset !== null || seq >= position.seq ? { cursor: frame.cursor, seq } : position
		}
		case 'position':
		case 'end':
			return { ...position, cursor: frame.cursor }
		case 'problem':
			return position
	}
}

function isFrame(item: unknown): item is ControlFrame {
	return typeof item === 'object' && item !== null && 'frame' in item && KNOWN_FRAMES.has(String(item.frame))
}

function isEvent(item: unknown): item is PlanEvent | UnknownEvent {
	return typeof item === 'object' && item !== null && 'event_type' in item && 'seq' in item && typeof item.seq === 'number'
}

function isKnown(event: PlanEvent | UnknownEvent): event is PlanEvent {
	return KNOWN_TYPES.has(String(event.event_type))
}
