/** The plans that are published to and watched; mostly there is only the first. */
export function planId(plan: number): string {
	return `bench${plan}`
}

export const PLAN_ID = planId(0)

/** Size of one event's JSON as it is delivered. */
export const EVENT_BYTES = 400

/** Begins the one thing of an event that a reader looks at. It stands nowhere else in a stream; one byte of it may, as a frame's length. */
export const MARK = '@@'
const SEQ_DIGITS = 8
const STAMP_DIGITS = 16
/** Where the parts of a mark stand behind its beginning, and how long it is. */
export const MARK_LAYOUT = {
	seq: [MARK.length, MARK.length + SEQ_DIGITS],
	stamp: [MARK.length + SEQ_DIGITS, MARK.length + SEQ_DIGITS + STAMP_DIGITS],
	length: MARK.length + SEQ_DIGITS + STAMP_DIGITS,
} as const

const CURSOR = { epoch: 'abcdefghijkl', fingerprint: '0123456789abcdef' } as const
const TIMESTAMP = '2026-01-01T00:00:00.000Z'

/** An event as a producer sends it: an attempt's output, which is what most events of a plan are. */
export interface SentEvent {
	readonly event_id: string
	readonly event_type: 'step_output'
	readonly step_id: string
	readonly data: { readonly channel: 'text'; readonly delta: string; readonly index: number }
}

/** The same as every reader gets it, for servers that do not make it so themselves. */
export type DeliveredEvent = ReturnType<typeof deliveredEvent>

/** What fills an event up, where it does not matter what. */
export const PADDING = '.'.repeat(EVENT_BYTES - JSON.stringify(delivered(10_000, 0, '', 0)).length)

/**
 * @param seq - 0-based number of the event, over all plans
 * @param stamp - a time in microseconds that comes back to whoever sent it
 * @param padding - as long as {@link PADDING}
 */
export function sentEvent(seq: number, stamp: number, padding = PADDING): SentEvent {
	return sent(seq, stamp, padding)
}

export function deliveredEvent(seq: number, stamp: number, plan = 0) {
	return delivered(seq, stamp, PADDING, plan)
}

/** The JSON that a log stores: the event without the fields that the append gives it. */
export function storedText(seq: number): string {
	const { seq: _seq, cursor: _cursor, ...stored } = deliveredEvent(seq, 0)
	return JSON.stringify(stored)
}

function sent(seq: number, stamp: number, padding: string): SentEvent {
	const mark = MARK + String(seq).padStart(SEQ_DIGITS, '0') + String(stamp).padStart(STAMP_DIGITS, '0')
	return {
		event_id: `bench-${seq}`,
		event_type: 'step_output',
		step_id: 'bench',
		data: { channel: 'text', delta: mark + padding, index: seq },
	}
}

function delivered(seq: number, stamp: number, padding: string, plan: number) {
	const { event_id, event_type, step_id, data } = sent(seq, stamp, padding)
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
