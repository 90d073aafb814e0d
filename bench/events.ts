/** Names a plan of the run; most runs have only the first. */
export function planId(plan: number): string {
	return `bench${plan}`
}

export const PLAN_ID = planId(0)

/** Size of the JSON of one delivered event. */
export const EVENT_BYTES = 400

/** Begins the mark, the only part of an event that a reader looks at. It occurs nowhere else in a stream; a single byte of it may, as a frame's length. */
export const MARK = '@@'
const SEQ_DIGITS = 8
const STAMP_DIGITS = 16
/** Offsets of the parts of a mark, and its length. */
export const MARK_LAYOUT = {
	seq: [MARK.length, MARK.length + SEQ_DIGITS],
	stamp: [MARK.length + SEQ_DIGITS, MARK.length + SEQ_DIGITS + STAMP_DIGITS],
	length: MARK.length + SEQ_DIGITS + STAMP_DIGITS,
} as const

const CURSOR = { epoch: 'abcdefghijkl', fingerprint: '0123456789abcdef' } as const
const TIMESTAMP = '2026-01-01T00:00:00.000Z'

/** An event as a producer sends it: output of an attempt, the most frequent type. */
export interface SentEvent {
	readonly event_id: string
	readonly event_type: 'step_output'
	readonly step_id: string
	readonly data: { readonly channel: 'text'; readonly delta: string; readonly index: number }
}

/** The event as every reader gets it, for servers that do not build it themselves. */
export type DeliveredEvent = ReturnType<typeof makeDeliveredEvent>

/** Fills an event up to its size. */
export const PADDING = '.'.repeat(EVENT_BYTES - JSON.stringify(makeDelivered(10_000, 0, '', 0)).length)

/**
 * @param seq - 0-based number of the event, over all plans
 * @param stamp - a time in microseconds that readers return to the load generator
 * @param padding - as long as {@link PADDING}
 */
export function makeSentEvent(seq: number, stamp: number, padding = PADDING): SentEvent {
	return makeSent(seq, stamp, padding)
}

export function makeDeliveredEvent(seq: number, stamp: number, plan = 0) {
	return makeDelivered(seq, stamp, PADDING, plan)
}

/** Makes the JSON that a log stores: the event without the fields that the append adds. */
export function makeStoredText(seq: number): string {
	const { seq: _seq, cursor: _cursor, ...stored } = makeDeliveredEvent(seq, 0)
	return JSON.stringify(stored)
}

function makeSent(seq: number, stamp: number, padding: string): SentEvent {
	const mark = MARK + String(seq).padStart(SEQ_DIGITS, '0') + String(stamp).padStart(STAMP_DIGITS, '0')
	return {
		event_id: `bench-${seq}`,
		event_type: 'step_output',
		step_id: 'bench',
		data: { channel: 'text', delta: mark + padding, index: seq },
	}
}

function makeDelivered(seq: number, stamp: number, padding: string, plan: number) {
	const { event_id, event_type, step_id, data } = makeSent(seq, stamp, padding)
	return {
		seq: seq + 1,
		cursor: `${CURSOR.epoch}.${seq + 1}.${CURSOR.fingerprint}`,
		event_id,
		event_type,
		plan_id: planId(plan),
		step_id,
		data,
		timestamp: TIMESTAMP,
		actor: { type: 'user', id: 'bench' },
	} as const
}
