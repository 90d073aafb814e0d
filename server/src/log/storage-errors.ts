import { PlanstreamError } from '@planstream/shared'

/** What a store answers after `close`. */
export function closedError(): PlanstreamError {
	return new PlanstreamError('storage_unavailable', 'The log is closed because the server is stopping; try again in a moment.')
}

/** What every request gets once the thread that owns the database is gone. */
export function threadGoneError(directory: string, cause: unknown): PlanstreamError {
	const reason = cause instanceof Error ? cause.message : String(cause)
	const message =
		`The thread that owns the database in ${directory} stopped (${reason}), so nothing can be read or stored; ` +
		'restart the server. Every acknowledged event is in the file.'
	return new PlanstreamError('storage_unavailable', message, { directory }, { cause })
}

/** SQLite's result codes that this floor tells apart; the extended ones hold the primary one in their low byte. */
const SQLITE = {
	busy: 5,
	locked: 6,
	readonly: 8,
	full: 13,
	cantopen: 14,
	notadb: 26,
	corrupt: 11,
	ioerr_write: 778,
	ioerr_truncate: 1546,
}

/** SQLite's extended result code of a thrown value, or null for anything else. */
function sqliteCodeOf(thrown: unknown): number | null {
	if (!(thrown instanceof Error)) return null
	const { sqliteExtendedCode, errcode } = thrown as Error & { readonly sqliteExtendedCode?: unknown; readonly errcode?: unknown }
	const code = sqliteExtendedCode ?? errcode
	return typeof code === 'number' ? code : null
}

/** True when another process holds the database file. */
export function isLocked(thrown: unknown): boolean {
	const primary = (sqliteCodeOf(thrown) ?? 0) & 0xff
	return primary === SQLITE.busy || primary === SQLITE.locked
}

/** Whatever the database threw, as the typed error a caller can act on. */
export function asStorageError(thrown: unknown, directory: string): PlanstreamError {
	if (thrown instanceof PlanstreamError) return thrown
	const code = sqliteCodeOf(thrown)
	const reason = thrown instanceof Error ? thrown.message : String(thrown)
	if (code !== null && isFull(code)) {
		const message =
			`The disk under ${directory} is full (${reason}); nothing of this request was stored. ` +
			'Free some space: reads go on, and appends work again without a restart.'
		return new PlanstreamError('storage_full', message, { directory }, { cause: thrown })
	}
	const message = `The database in ${directory} failed (${reason}); nothing of this request was stored. ${adviceFor(code)}`
	return new PlanstreamError('storage_unavailable', message, { directory }, { cause: thrown })
}

/** A quota or a file size limit shows as a failed write rather than as a full disk. */
function isFull(code: number): boolean {
	return (code & 0xff) === SQLITE.full || code === SQLITE.ioerr_write || code === SQLITE.ioerr_truncate
}

function adviceFor(code: number | null): string {
	const primary = (code ?? 0) & 0xff
	if (primary === SQLITE.corrupt || primary === SQLITE.notadb) return 'The file is damaged: stop the server and restore a backup.'
	if (primary === SQLITE.cantopen || primary === SQLITE.readonly) return 'Make sure that this user may write in the directory.'
	return 'Look at the health of the disk and try again.'
}
