import { copyFileSync, existsSync, linkSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { PlanstreamError } from '@planstream/shared'
import type { Dropped } from './event-log.js'
import { type DroppedFrames, droppedFrames } from './wal-check.js'

/** Between the name of a write-ahead log and what tells its copy from others. */
const DAMAGED = '.damaged-'
/** Ends the name of a copy that is not whole yet. */
const UNFINISHED = '.part'

/** A write-ahead log that seems to be damaged, kept under another name as it was found. */
export interface SetAside {
	/** Whether it is damaged still, now that no other process can be writing it. Otherwise the copy is gone. */
	confirm(): boolean
	/** To be called once SQLite has closed the database, so that nothing writes to the file any more that the copy may share. */
	assertReleased(): void
	/** Forgets a log that another process is using. */
	forget(): void
}

/**
 * Looks at the write-ahead log of a database before SQLite does, and keeps it when it seems to be damaged. The copy is a second name of
 * the file where the file system has such, so that a full disk does not stand in its way.
 *
 * @returns null when nothing is wrong with it
 */
export function setDamagedAside(database: string): SetAside | null {
	const wal = walOf(database)
	const bytes = read(wal)
	if (bytes === null || droppedFrames(bytes) === null) return null
	// The salts, which no two write-ahead logs of a database share: found again after a crash, it is the same copy.
	const copy = wal + DAMAGED + bytes.toString('hex', 16, 24)
	const isNew = !existsSync(copy)
	if (isNew) keep(wal, copy)
	const forget = (): void => {
		if (isNew) rmSync(copy, { force: true })
	}
	return {
		confirm: () => {
			const found = read(wal)
			const isDamaged = found !== null && droppedFrames(found) !== null
			if (!isDamaged) forget()
			return isDamaged
		},
		assertReleased: () => {
			if (!existsSync(wal) || statSync(wal).size === 0) return
			const message =
				`The write-ahead log of ${database} is damaged, and what is whole of it could not be written to the database, so ` +
				'nothing was changed. Free some space and start again.'
			throw new PlanstreamError('storage_full', message, { database })
		},
		forget,
	}
}

/** What the copies beside a database say was dropped; null when there are none. */
export function findDropped(database: string): Dropped | null {
	const directory = dirname(database)
	const prefix = basename(walOf(database)) + DAMAGED
	const copies = readdirSync(directory).filter((name) => name.startsWith(prefix) && !name.endsWith(UNFINISHED))
	if (copies.length === 0) return null
	const found = copies.map((name) => droppedFrames(readFileSync(join(directory, name))))
	const sum = (count: (dropped: DroppedFrames) => number): number =>
		found.reduce((total, dropped) => total + (dropped === null ? 0 : count(dropped)), 0)
	return { copies, frames: sum(({ frames }) => frames), commits: sum(({ commits }) => commits) }
}

function walOf(database: string): string {
	return `${database}-wal`
}

function read(file: string): Buffer | null {
	return existsSync(file) ? readFileSync(file) : null
}

function keep(file: string, copy: string): void {
	try {
		linkSync(file, copy)
	} catch {
		// Not every file system has second names.
		copyFileSync(file, copy + UNFINISHED)
		renameSync(copy + UNFINISHED, copy)
	}
}
