/**
 * A cursor means "everything up to here has been seen". On the wire it is opaque text, `<epoch>.<seq>.<fingerprint>` in the charset
 * `[A-Za-z0-9._-]`. A bare integer is accepted wherever a cursor is, but does not check the history before it. See PROTOCOL.md
 * section 3.
 */
export interface FullCursor {
	readonly epoch: string
	readonly seq: number
	readonly fingerprint: string
}

/** A position in a log: a cursor, a bare sequence number, `start` for the oldest retained event, or `now` for the current head. */
export type Position = FullCursor | { readonly seq: number } | 'start' | 'now'

/** Fingerprint of an empty log. */
export const EMPTY_FINGERPRINT = '0'.repeat(16)

const FULL = /^([A-Za-z0-9_-]{1,64})\.(0|[1-9][0-9]{0,15})\.([0-9a-f]{16})$/
const INTEGER = /^(0|[1-9][0-9]{0,15})$/

export function formatCursor(cursor: FullCursor): string {
	return `${cursor.epoch}.${cursor.seq}.${cursor.fingerprint}`
}

/** Formats a position as text; one without a fingerprint becomes a bare number. */
export function formatPosition(position: Position): string {
	if (typeof position === 'string') return position
	return isFullCursor(position) ? formatCursor(position) : String(position.seq)
}

/**
 * Parses a position: a cursor, an integer, `start` or `now`.
 *
 * @returns null if the text is none of these
 */
export function parsePosition(text: string): Position | null {
	if (text === 'start' || text === 'now') return text
	const full = FULL.exec(text)
	if (full) {
		const [, epoch = '', seq = '', fingerprint = ''] = full
		return Number.isSafeInteger(Number(seq)) ? { epoch, seq: Number(seq), fingerprint } : null
	}
	return INTEGER.test(text) && Number.isSafeInteger(Number(text)) ? { seq: Number(text) } : null
}

export function isFullCursor(position: Position): position is FullCursor {
	return typeof position === 'object' && 'epoch' in position
}
