import path from 'node:path'
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
	error: 1,
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

/** SQLite's own words for a damaged file: the package that stands in for Node's SQLite gives no code when it reads all rows. */
const MALFORMED = 'database disk image is malformed'

/** SQLite's extended result code of a thrown value, or null for anything else. */
function sqliteCodeOf(thrown: unknown): number | null {
	if (!(thrown instanceof Error)) return null
	const { sqliteExtendedCode, errcode } = thrown as Error & { readonly sqliteExtendedCode?: unknown; readonly errcode?: unknown }
	const code = sqliteExtendedCode ?? errcode
	if (typeof code === 'number') return code
	return thrown.message === MALFORMED ? SQLITE.corrupt : null
}

/** What happened to a database file, as far as it decides what to do about it. */
type StorageFault = 'locked' | 'full' | 'damaged' | 'forbidden' | 'foreign' | 'other'

function faultOf(thrown: unknown): StorageFault {
	const code = sqliteCodeOf(thrown) ?? 0
	// A quota or a file size limit shows as a failed write rather than as a full disk.
	if (code === SQLITE.ioerr_write || code === SQLITE.ioerr_truncate) return 'full'
	switch (code & 0xff) {
		case SQLITE.busy:
		case SQLITE.locked:
			return 'locked'
		case SQLITE.full:
			return 'full'
		case SQLITE.corrupt:
		case SQLITE.notadb:
			return 'damaged'
		case SQLITE.cantopen:
		case SQLITE.readonly:
			return 'forbidden'
		case SQLITE.error:
			return 'foreign'
		default:
			return 'other'
	}
}

/** True when another process holds the database file. */
export function isLocked(thrown: unknown): boolean {
	return faultOf(thrown) === 'locked'
}

/** What the database threw when something was to be stored. */
export function asWriteError(thrown: unknown, directory: string): PlanstreamError {
	return asStorageError(thrown, directory, (fault, reason) =>
		fault === 'full'
			? `The disk under ${directory} is full (${reason}); nothing of this request was stored. ` +
				'Free some space: reads go on, and appends work again without a restart.'
			: `The database in ${directory} failed (${reason}); nothing of this request was stored. ${adviceFor(fault)}`,
	)
}

/** What the database threw when something was to be read. */
export function asReadError(thrown: unknown, directory: string): PlanstreamError {
	return asStorageError(
		thrown,
		directory,
		(fault, reason) => `The database in ${directory} cannot be read (${reason}). ${adviceFor(fault)}`,
	)
}

function adviceFor(fault: StorageFault): string {
	if (fault === 'damaged') return 'The file is damaged: stop the server and restore a backup.'
	if (fault === 'forbidden') return 'Make sure that this user may write in the directory.'
	return 'Look at the health of the disk and try again.'
}

/** Why a database cannot be opened, and what whoever starts the server can do about it. */
export function asOpeningError(thrown: unknown, file: string): PlanstreamError {
	const advice = (fault: StorageFault): string => adviceForStart(fault, path.basename(file))
	return asStorageError(
		thrown,
		path.dirname(file),
		(fault, reason) => `The database ${file} cannot be opened (${reason}). ${advice(fault)}`,
	)
}

function adviceForStart(fault: StorageFault, name: string): string {
	switch (fault) {
		case 'full':
			return 'The disk is full: free some space and start again.'
		case 'damaged':
			return `The file is damaged: restore a backup and look at it with \`planstream verify\`, or move ${name}* aside to begin without plans.`
		case 'forbidden':
			return 'It must be a file that this user may read and write, in a directory that this user may write to.'
		case 'foreign':
			return `It is no database of Planstream: move ${name}* aside, or set PLANSTREAM_DATA to another directory.`
		case 'locked':
		case 'other':
			return 'Look at the health of the disk and start again.'
		default:
			return fault satisfies never
	}
}

/** Whatever the database threw, as the typed error a caller can act on. */
function asStorageError(
	thrown: unknown,
	directory: string,
	say: (fault: StorageFault, reason: string) => string,
): PlanstreamError {
	if (thrown instanceof PlanstreamError) return thrown
	const fault = faultOf(thrown)
	const message = say(fault, thrown instanceof Error ? thrown.message : String(thrown))
	const code = fault === 'full' ? 'storage_full' : 'storage_unavailable'
	return new PlanstreamError(code, message, { directory }, { cause: thrown })
}
