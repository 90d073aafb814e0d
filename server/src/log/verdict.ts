import { isFullCursor, type Position, type ResetReason } from '@planstream/shared'
import type { TrimReason } from './event-log.js'

/** What a verdict needs to know of a log. */
export interface LogFacts {
	readonly epoch: string
	readonly head_seq: number
	readonly oldest_seq: number
	/** The reason of the last trim; null before the first. */
	readonly trim_reason: TrimReason | null
	/** The fingerprint after the event at `seq`, for `oldest_seq - 1 <= seq <= head_seq`. */
	readonly fingerprintAt: (seq: number) => string
}

export interface Judgement {
	readonly reset: ResetReason | null
	/** Sequence number of the first event to deliver. */
	readonly from_seq: number
}

/**
 * What a log can do with a position. The epoch is looked at first: in another epoch the other two facts mean nothing.
 *
 * @param log - null: the plan has no log
 */
export function judge(position: Position, log: LogFacts | null): Judgement {
	if (log === null) return { reset: resetWithoutLog(position), from_seq: 1 }
	if (position === 'now') return { reset: null, from_seq: log.head_seq + 1 }
	const reset = resetOf(position, log)
	return { reset, from_seq: reset === null ? seqOf(position) + 1 : log.oldest_seq }
}

function resetOf(position: Exclude<Position, 'now'>, log: LogFacts): ResetReason | null {
	const seq = seqOf(position)
	const cursor = position !== 'start' && isFullCursor(position) ? position : null
	if (cursor && cursor.epoch !== log.epoch) return 'epoch'
	if (seq > log.head_seq) return 'rewind'
	if (seq < log.oldest_seq - 1) return log.trim_reason ?? 'trimmed'
	if (cursor && cursor.fingerprint !== log.fingerprintAt(seq)) return 'fork'
	return null
}

function resetWithoutLog(position: Position): ResetReason | null {
	if (position === 'start' || position === 'now') return null
	if (isFullCursor(position)) return 'epoch'
	return position.seq > 0 ? 'rewind' : null
}

function seqOf(position: Exclude<Position, 'now'>): number {
	return position === 'start' ? 0 : position.seq
}
