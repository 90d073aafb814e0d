import { statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { asOpeningError, asWriteError } from '../storage-errors.js'
import type { SqlDatabase } from './driver.js'
import { DATABASE_FILE, type OpenTables, openTables } from './schema.js'
import { SqliteStore } from './store.js'

/** Events of deleted plans that one transaction removes. */
const SWEPT_EVENTS = 10_000

/** Sizes of a database with its write-ahead log, in bytes. */
export interface Compacted {
	readonly bytes_before: number
	readonly bytes_after: number
}

/**
 * Returns the space of deleted events to the file system: finishes their deletion, then rewrites the database without free pages.
 * SQLite does that in one transaction, so that a crash at any moment leaves the old or the new file. Until it is done it needs
 * about twice the size of what is left, in the directory itself.
 *
 * @throws `storage_unavailable` when another process has the directory open or the disk is full
 */
export function compactDatabase(directory: string): Compacted {
	const file = join(directory, DATABASE_FILE)
	// SQLite would write the copy to /tmp, which is often smaller than the disk of the data.
	process.env.SQLITE_TMPDIR ??= resolve(directory)
	const bytes_before = measure(file)
	const { db, close } = open(directory, file)
	try {
		rewrite(db)
	} catch (error) {
		throw asWriteError(error, directory)
	} finally {
		close()
	}
	return { bytes_before, bytes_after: measure(file) }
}

function open(directory: string, file: string): OpenTables {
	try {
		return openTables(directory)
	} catch (error) {
		throw asOpeningError(error, file)
	}
}

function rewrite(db: SqlDatabase): void {
	const store = new SqliteStore(db)
	while (store.hasDeleted) store.transaction(() => store.sweep(SWEPT_EVENTS))
	db.exec('VACUUM; PRAGMA wal_checkpoint(TRUNCATE)')
}

function measure(file: string): number {
	const sizes = [file, `${file}-wal`].map((part) => statSync(part, { throwIfNoEntry: false })?.size ?? 0)
	return sizes.reduce((sum, size) => sum + size, 0)
}
