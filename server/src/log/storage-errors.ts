import path from 'node:path'
import { PlanstreamError } from '@planstream/shared'

export function createClosedError(): PlanstreamError {
	return new PlanstreamError('storage_unavailable', 'The log is closed because the server is stopping. Try again in a moment.')
}

/** Reports that the database thread is gone; every later request gets this error. */
export function createThreadGoneError(directory: string, cause: unknown): PlanstreamError {
	const reason = cause instanceof Error ? cause.message : String(cause)
	const message =
		`The database thread for ${directory} stopped (${reason}), so nothing can be read or stored. ` +
		'Restart the server. Every acknowledged event is in the file.'
	return new PlanstreamError('storage_unavailable', message, { directory }, { cause })
}

/** Reports that the files of an open database are no longer in their place. */
export function createMissingFilesError(directory: string): PlanstreamError {
	const message =
		`The database in ${directory} was moved or deleted while it was open, so what is stored would be lost. ` +
		'Put it back, or restart the server.'
	return new PlanstreamError('storage_unavailable', message, { directory })
}

/** The SQLite result codes that are handled differently. An extended code has its primary code in the low byte. */
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

/** SQLite's message for a damaged file: the fallback package gives no code when it reads all rows. */
const MALFORMED = 'database disk image is malformed'

/** Returns SQLite's extended result code, or null when SQLite did not throw this. */
function getSqliteCode(thrown: unknown): number | null {
	if (!(thrown instanceof Error)) return null
	const { sqliteExtendedCode, errcode } = thrown as Error & { readonly sqliteExtendedCode?: unknown; readonly errcode?: unknown }
	const code = sqliteExtendedCode ?? errcode
	if (typeof code === 'number') return code
	return thrown.message === MALFORMED ? SQLITE.corrupt : null
}

/** The kinds of failure that need different advice. */
type StorageFault = 'locked' | 'full' | 'damaged' | 'forbidden' | 'foreign' | 'other'

function classifyFault(thrown: unknown): StorageFault {
	const code = getSqliteCode(thrown) ?? 0
	// A quota or file size limit appears as a failed write, not as a full disk.
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

/** Tells whether another process has locked the database file. */
export function isLocked(thrown: unknown): boolean {
	return classifyFault(thrown) === 'locked'
}

/** Converts an error thrown by a write. */
export function asWriteError(thrown: unknown, directory: string): PlanstreamError {
	return asStorageError(thrown, directory, (fault, reason) =>
		fault === 'full'
			? `The disk of ${directory} is full (${reason}). Nothing of this request was stored. ` +
				'Free some space: reads still work, and appends will work again without a restart.'
			: `The database in ${directory} failed (${reason}). Nothing of this request was stored. ${advise(fault)}`,
	)
}

/** Converts an error thrown by a read. */
export function asReadError(thrown: unknown, directory: string): PlanstreamError {
	return asStorageError(
		thrown,
		directory,
		(fault, reason) => `The database in ${directory} cannot be read (${reason}). ${advise(fault)}`,
	)
}

function advise(fault: StorageFault): string {
	if (fault === 'damaged') return 'The file is damaged: stop the server and restore a backup.'
	if (fault === 'forbidden') return 'Make sure that this user can write to the directory.'
	return 'Check the disk and try again.'
}

/** Converts an error thrown while opening the database, with advice for the person starting the server. */
export function asOpeningError(thrown: unknown, file: string): PlanstreamError {
	const name = path.basename(file)
	return asStorageError(
		thrown,
		path.dirname(file),
		(fault, reason) => `The database ${file} cannot be opened (${reason}). ${adviseStart(fault, name)}`,
	)
}

function adviseStart(fault: StorageFault, name: string): string {
	switch (fault) {
		case 'full':
			return 'The disk is full: free some space and restart.'
		case 'damaged':
			return `The file is damaged: restore a backup and check it with \`planstream verify\`, or move ${name}* aside to start without plans.`
		case 'forbidden':
			return 'Make sure that this user can read and write the file and write to its directory.'
		case 'foreign':
			return `The file is not a Planstream database: move ${name}* aside, or set PLANSTREAM_DATA to another directory.`
		case 'locked':
		case 'other':
			return 'Check the disk and restart.'
		default:
			return fault satisfies never
	}
}

/** Converts a thrown value to an error with a code that callers can act on. */
function asStorageError(
	thrown: unknown,
	directory: string,
	describe: (fault: StorageFault, reason: string) => string,
): PlanstreamError {
	if (thrown instanceof PlanstreamError) return thrown
	const fault = classifyFault(thrown)
	const message = describe(fault, thrown instanceof Error ? thrown.message : String(thrown))
	const code = fault === 'full' ? 'storage_full' : 'storage_unavailable'
	return new PlanstreamError(code, message, { directory }, { cause: thrown })
}
