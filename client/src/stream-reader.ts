import { EVENT_TYPES, PlanstreamError } from '@planstream/shared'
import type { PlanEvent } from './generated/events.js'
import type { ControlFrame, ProblemFrame } from './generated/frames.js'
import { lostOrError } from './problem.js'
import type { Delivery } from './transports/transport.js'
import type { SubscribeOptions, UnknownEvent } from './types.js'

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

/** What a subscription makes of what its connections bring. */
export interface StreamReader<Item> {
	/** The next connection goes on behind it; null where it begins anew. */
	readonly cursor: string | null
	/** Changes with each item that is news. */
	readonly progress: number
	/** Whether the server has said that nothing more comes. */
	readonly ended: boolean
	/**
	 * @returns null for what is no news to the user
	 * @throws Cut or PlanstreamError what the server says went wrong
	 */
	read(delivery: Delivery): Item | null
}

/** Reads a plan's stream: each event once, in order. */
export class PlanReader<Item> implements StreamReader<Item> {
	readonly #options: SubscribeOptions
	readonly #means: (received: Received) => Item | null
	#position: Position = UNKNOWN_POSITION
	#ended = false

	/** @param means - what the user gets of an event or a frame; null for nothing */
	constructor(options: SubscribeOptions, means: (received: Received) => Item | null) {
		this.#options = options
		this.#means = means
	}

	get cursor(): string | null {
		return this.#position.cursor
	}

	get progress(): number {
		return this.#position.seq
	}

	get ended(): boolean {
		return this.#ended
	}

	read(delivery: Delivery): Item | null {
		const received = receive(this.#position, delivery)
		this.#position = received.position
		if (received.frame) this.#heed(received.frame)
		if (received.unknown) this.#options.onUnknown?.(received.unknown)
		return this.#means(received)
	}

	#heed(frame: ControlFrame): void {
		switch (frame.frame) {
			case 'ready':
				if (frame.reset) this.#options.onReset?.(frame)
				this.#options.onReady?.(frame)
				return
			case 'end':
				this.#ended = !frame.resume
				return
			case 'problem':
				throw failureOf(frame)
			case 'position':
				return
		}
	}
}

/** Reads what has no position and no end: every item is news. */
export class ItemReader<Item> implements StreamReader<Item> {
	readonly cursor = null
	readonly ended = false
	#progress = 0

	get progress(): number {
		return this.#progress
	}

	read({ item }: Delivery): Item {
		if (isProblem(item)) throw failureOf(item)
		this.#progress++
		return item as Item
	}
}

function isProblem(item: unknown): item is ProblemFrame {
	return typeof item === 'object' && item !== null && 'frame' in item && item.frame === 'problem'
}

function failureOf({ frame: _frame, plan_id: _plan, cursor: _cursor, ...problem }: ProblemFrame): Error {
	return lostOrError(PlanstreamError.fromProblem(problem))
}
