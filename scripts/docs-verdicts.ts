import type { ErrorCode, ResetReason } from '@planstream/shared'

/** Name of a reader's position, in the table and the test of the verdicts. */
export type PositionName = keyof typeof POSITIONS

/** Start of the events: after the position, at the oldest kept event, or after the head. */
type From = 'behind' | 'oldest' | 'head'

/** The continuation of a stream after `ready`. */
type Next = 'goes on' | 'waits' | 'ends'

type StreamVerdict =
	| { readonly reset: ResetReason | null; readonly from: From; readonly next: Next; readonly nothing?: 'plain SSE' }
	| { readonly refused: ErrorCode }

type HistoryVerdict = { readonly from: From; readonly finished?: true } | { readonly refused: ErrorCode }

/** The answers to a position: on every stream, and by a history page; null where a page does not accept it. */
export interface Verdict {
	readonly stream: StreamVerdict
	readonly history: HistoryVerdict | null
}

const resumeFrom = (from: From, next: Next = 'goes on'): Verdict => ({ stream: { reset: null, from, next }, history: { from } })
const resetBecause = (reason: ResetReason, next: Next = 'goes on'): Verdict => ({
	stream: { reset: reason, from: 'oldest', next },
	history: { refused: 'cursor_gone' },
})
/** A page from `start` begins at the oldest event, so it misses nothing. */
const startAfter = (reason: 'trimmed' | 'cleared', next: Next): Verdict => ({
	stream: { reset: reason, from: 'oldest', next },
	history: { from: 'oldest', ...(next === 'ends' && { finished: true }) },
})

/** The words for each position in the table. */
export const POSITIONS = {
	cursor: 'a cursor of the plan',
	integer: 'a number up to the head',
	start: '`start`',
	now: '`now`',
	garbage: 'text that is no position',
	garbage_id: 'the same as `Last-Event-ID` or `lastEventId`, which a browser cannot change',
	future_cursor: 'a cursor of the plan beyond its head',
	future_integer: 'a number beyond the head',
	other_plan: 'a cursor of another plan',
	other_epoch: 'a cursor from before the plan was deleted and made again',
	fork: 'a cursor whose fingerprint is not the one of the log',
	trimmed: 'a cursor or a number behind the oldest kept event, after a trim',
	trimmed_start: '`start`, after a trim',
	cleared: 'a cursor or a number behind the oldest kept event, after a clear',
	cleared_start: '`start`, after a clear',
	unknown_start: 'plan never seen: `start`, `now` or 0',
	unknown_cursor: 'plan never seen: a cursor',
	unknown_integer: 'plan never seen: a number above 0',
	finished: 'plan done: a cursor before its head',
	finished_head: 'plan done: a cursor at its head',
	finished_integer: 'plan done: the number of its head',
} as const

/** The verdict on each position, the same for managed and external plans. PROTOCOL.md is generated from it, and a test checks each. */
export const VERDICTS: Readonly<Record<PositionName, Verdict>> = {
	cursor: resumeFrom('behind'),
	integer: resumeFrom('behind'),
	start: resumeFrom('oldest'),
	now: resumeFrom('head'),
	garbage: { stream: { refused: 'bad_request' }, history: { refused: 'bad_request' } },
	garbage_id: { stream: { reset: 'epoch', from: 'oldest', next: 'goes on' }, history: null },
	future_cursor: resetBecause('rewind'),
	future_integer: resetBecause('rewind'),
	other_plan: resetBecause('epoch'),
	other_epoch: resetBecause('epoch'),
	fork: resetBecause('fork'),
	trimmed: resetBecause('trimmed'),
	trimmed_start: startAfter('trimmed', 'goes on'),
	cleared: resetBecause('cleared', 'ends'),
	cleared_start: startAfter('cleared', 'ends'),
	unknown_start: { stream: { reset: null, from: 'oldest', next: 'waits' }, history: { from: 'head' } },
	unknown_cursor: resetBecause('epoch', 'waits'),
	unknown_integer: resetBecause('rewind', 'waits'),
	finished: { stream: { reset: null, from: 'behind', next: 'ends' }, history: { from: 'behind', finished: true } },
	finished_head: {
		stream: { reset: null, from: 'behind', next: 'ends', nothing: 'plain SSE' },
		history: { from: 'behind', finished: true },
	},
	finished_integer: { stream: { reset: null, from: 'behind', next: 'ends' }, history: { from: 'behind', finished: true } },
}

/** Makes the rows of the table: the position, the answer of a stream, the answer of a page. */
export function makeVerdictRows(): string[][] {
	return Object.entries(VERDICTS).map(([name, { stream, history }]) => {
		return [POSITIONS[name as PositionName], describeStream(stream), history === null ? '' : describeHistory(history)]
	})
}

const FROM: Readonly<Record<From, string>> = {
	behind: 'the events behind it',
	oldest: 'the events from the oldest kept one on',
	head: 'new events only',
}

function describeStream(verdict: StreamVerdict): string {
	if ('refused' in verdict) return `error \`${verdict.refused}\``
	const { reset, from, next, nothing } = verdict
	if (next === 'waits')
		return reset === null ? 'waits for the plan' : `reset \`${reset}\` without a state, then waits for the plan`
	const words = reset === null ? FROM[from] : `reset \`${reset}\` with the state, then ${FROM[from]}`
	const end = next === 'ends' ? `${words}, then \`end\`` : words
	return nothing === undefined ? end : `${end}; 204 on ${nothing}`
}

function describeHistory(verdict: HistoryVerdict): string {
	if ('refused' in verdict) return `error \`${verdict.refused}\``
	if (verdict.from === 'head') return 'no events'
	return verdict.finished === true ? `${FROM[verdict.from]}, \`finished\`` : FROM[verdict.from]
}
