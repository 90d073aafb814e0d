import { EVENT_TYPES, PlanstreamError } from '@planstream/shared'
import { callWithin } from './callbacks.js'
import type { PlanEvent } from './generated/events.js'
import type { ControlFrame, ProblemFrame } from './generated/frames.js'
import { toStreamError } from './problem.js'
import type { Delivery } from './transports/transport.js'
import type { SubscribeOptions, UnknownEvent } from './types.js'

/** The position of a subscription in its stream. */
export interface Position {
	/** The cursor to resume after; null before the first item. */
	readonly cursor: string | null
	/** Sequence number of the last event seen. */
	readonly seq: number
}

export const UNKNOWN_POSITION: Position = { cursor: null, seq: 0 }

/** One item after it was read: a new event, a control frame, or neither for a repeated item. */
export interface Received {
	readonly position: Position
	readonly event: PlanEvent | null
	/** An event of a type that is newer than this SDK. */
	readonly unknown: UnknownEvent | null
	readonly frame: ControlFrame | null
}

const KNOWN_TYPES: ReadonlySet<string> = new Set(EVENT_TYPES)
const KNOWN_FRAMES: ReadonlySet<string> = new Set<ControlFrame['frame']>(['ready', 'position', 'end', 'problem'])

const NOTHING = { event: null, unknown: null, frame: null }

/** Reads one item. Drops events seen before; an event of an unknown type moves the position, too. */
export function receive(position: Position, { item, cursor }: Delivery): Received {
	if (isFrame(item)) return { ...NOTHING, position: advancePosition(position, item), frame: item }
	if (!isEvent(item) || item.seq <= position.seq) return { ...NOTHING, position }
	const meaning = isKnown(item) ? { event: item } : { unknown: item }
	return { ...NOTHING, ...meaning, position: { cursor: cursor ?? item.cursor, seq: item.seq } }
}

function advancePosition(position: Position, frame: ControlFrame): Position {
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

/** Turns deliveries into the items of a subscription, across connections. */
export interface StreamReader<Item> {
	/** The cursor the next connection resumes after; null if it starts over. */
	readonly cursor: string | null
	/** A number that changes with each new item. */
	readonly progress: number
	/** Whether the server has ended the stream for good. */
	readonly ended: boolean
	/**
	 * Reads one delivery.
	 *
	 * @returns null if there is nothing to yield
	 * @throws ConnectionLost or PlanstreamError for a `problem` frame
	 */
	read(delivery: Delivery): Item | null
}

/** Reads the stream of a plan: each event once, in order. */
export class PlanReader<Item> implements StreamReader<Item> {
	readonly #options: SubscribeOptions
	readonly #interpret: (received: Received) => Item | null
	#position: Position = UNKNOWN_POSITION
	#ended = false

	/** @param interpret - makes the item to yield from an event or a frame; null for none */
	constructor(options: SubscribeOptions, interpret: (received: Received) => Item | null) {
		this.#options = options
		this.#interpret = interpret
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
		if (received.frame) this.#handleFrame(received.frame)
		if (received.unknown) callWithin(this.#options.onUnknown, received.unknown)
		return this.#interpret(received)
	}

	#handleFrame(frame: ControlFrame): void {
		switch (frame.frame) {
			case 'ready':
				if (frame.reset) callWithin(this.#options.onReset, frame)
				callWithin(this.#options.onReady, frame)
				return
			case 'end':
				this.#ended = !frame.resume
				return
			case 'problem':
				throw toError(frame)
			case 'position':
				return
		}
	}
}

/** Reads a stream without positions or an end: every item is new. */
export class ItemReader<Item> implements StreamReader<Item> {
	readonly cursor = null
	readonly ended = false
	#progress = 0

	get progress(): number {
		return this.#progress
	}

	read({ item }: Delivery): Item {
		if (isProblem(item)) throw toError(item)
		this.#progress++
		return item as Item
	}
}

function isProblem(item: unknown): item is ProblemFrame {
	return typeof item === 'object' && item !== null && 'frame' in item && item.frame === 'problem'
}

function toError({ frame: _frame, plan_id: _plan, cursor: _cursor, ...problem }: ProblemFrame): Error {
	return toStreamError(PlanstreamError.fromProblem(problem))
}
