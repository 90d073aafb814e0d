import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PlanstreamError } from '@planstream/shared'
import type { Dropped, StoredRecord, TrimReason } from '../event-log.js'
import type { ListPosition } from '../listing.js'
import { isLocked } from '../storage-errors.js'
import { openDatabase, type SqlDatabase } from './driver.js'
import { findDropped, type SetAside, setDamagedAside } from './wal-check.js'

/** The file inside the data directory that holds every log. */
export const DATABASE_FILE = 'planstream.db'
/** Says which process has the database open, for the message to the next one. */
const OWNER_FILE = 'planstream.pid'

const SCHEMA_VERSION = 4

/** The size counts for finished plans alone, so that the log of a plan that grows is in none of these twice. */
const RETENTION_INDEXES = `
	CREATE INDEX logs_at_rest ON logs (at_rest, updated_at) WHERE at_rest IS NOT NULL;
	CREATE INDEX logs_by_size ON logs (head_seq - oldest_seq) WHERE at_rest = 'finished';
`

/** What `list` looks at stands in the index itself; the summary is read of the plans that match. */
const LIST_INDEX = 'CREATE INDEX logs_by_age ON logs (tenant, created_at, plan_id, status, labels, query_text);'

/**
 * `log_id` stands for (tenant, plan_id) in one life of the log and is never used again, so that the events of a removed log
 * can be deleted a few at a time. `doomed` lists what is still to be deleted: events of `log_id` below `below_seq`.
 */
const SCHEMA = `
	CREATE TABLE logs (
		log_id INTEGER PRIMARY KEY AUTOINCREMENT,
		tenant TEXT NOT NULL,
		plan_id TEXT NOT NULL,
		epoch TEXT NOT NULL,
		head_seq INTEGER NOT NULL,
		state_seq INTEGER NOT NULL,
		oldest_seq INTEGER NOT NULL,
		fingerprint TEXT NOT NULL,
		before_fingerprint TEXT NOT NULL,
		trim_reason TEXT,
		created_at TEXT,
		unfinished INTEGER NOT NULL,
		at_rest TEXT,
		updated_at TEXT,
		status TEXT,
		labels TEXT,
		query_text TEXT,
		summary TEXT,
		UNIQUE (tenant, plan_id)
	) STRICT;
	${LIST_INDEX}
	CREATE INDEX logs_unfinished ON logs (tenant, plan_id) WHERE unfinished = 1;
	CREATE TABLE bases (log_id INTEGER PRIMARY KEY, base TEXT NOT NULL) STRICT;
	CREATE TABLE doomed (log_id INTEGER PRIMARY KEY, below_seq INTEGER NOT NULL) STRICT;
	CREATE TABLE events (
		log_id INTEGER NOT NULL,
		seq INTEGER NOT NULL,
		event_id TEXT NOT NULL,
		sent_digest TEXT NOT NULL,
		fingerprint TEXT NOT NULL,
		text TEXT NOT NULL,
		PRIMARY KEY (log_id, seq),
		UNIQUE (log_id, event_id)
	) STRICT, WITHOUT ROWID;
	${RETENTION_INDEXES}
`

/** From format 1, which knew nothing of retention. */
const ADD_RETENTION = `
	ALTER TABLE logs ADD COLUMN at_rest TEXT;
	ALTER TABLE logs ADD COLUMN updated_at TEXT;
	UPDATE logs SET updated_at = summary ->> 'updated_at',
		at_rest = iif(summary ->> 'finished', 'finished', iif(summary ->> 'owner' = 'external', 'open', NULL));
	${RETENTION_INDEXES}
`

/** From format 2, in which `list` had to read every summary; of older plans it still does where labels and text are asked for. */
const ADD_LISTING = `
	ALTER TABLE logs ADD COLUMN status TEXT;
	ALTER TABLE logs ADD COLUMN labels TEXT;
	ALTER TABLE logs ADD COLUMN query_text TEXT;
	UPDATE logs SET status = summary ->> 'status';
	DROP INDEX logs_by_age;
	${LIST_INDEX}
`

/** From format 3, in which the row of a log always told where it ended; whoever counts on that must not open the file again. */
const SAME_TABLES = ''

/** What makes each format of the one before it. */
const MIGRATIONS = [ADD_RETENTION, ADD_LISTING, SAME_TABLES]

/** The open database of a data directory, held by this process alone. */
export interface OpenTables {
	readonly db: SqlDatabase
	/** What damage of the write-ahead log has cost; null: nothing. */
	readonly dropped: Dropped | null
	readonly close: () => void
}

/**
 * Opens the database of a directory and makes its tables when they are not there.
 *
 * @throws `storage_unavailable` when another process has it open or it has a later format, and what SQLite throws
 */
export function openTables(directory: string): OpenTables {
	const { db, dropped } = openOwn(directory)
	const ownerFile = join(directory, OWNER_FILE)
	try {
		writeFileSync(ownerFile, `${process.pid}\n`)
	} catch {
		// A full disk is no reason not to read; no name is better than the name of the process before.
		rmSync(ownerFile, { force: true })
	}
	const close = (): void => {
		db.close()
		rmSync(ownerFile, { force: true })
	}
	return { db, dropped, close }
}

function openOwn(directory: string): Pick<OpenTables, 'db' | 'dropped'> {
	const file = join(directory, DATABASE_FILE)
	let db: SqlDatabase | null = null
	let aside: SetAside | null = null
	try {
		aside = setDamagedAside(file)
		db = connect(file)
		if (aside?.confirm()) {
			// What is whole goes to the database, and what SQLite writes from now on to another file than the one that was kept.
			db.close()
			db = null
			aside.assertReleased()
			db = connect(file)
		}
		makeTables(db, directory)
		return { db, dropped: findDropped(file) }
	} catch (error) {
		db?.close()
		if (!isLocked(error)) throw error
		aside?.forget()
		throw lockedError(directory, error)
	}
}

function connect(file: string): SqlDatabase {
	const db = openDatabase(file)
	try {
		// The order matters: a WAL that is entered in exclusive mode keeps its index in this process and no one else gets in.
		db.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL')
		// Pages that many groups touch go to the file once in 8,192 (32 MiB of WAL) rather than once in SQLite's 1,000.
		db.exec('PRAGMA wal_autocheckpoint = 8192; PRAGMA journal_size_limit = 67108864; PRAGMA cache_size = -65536')
		return db
	} catch (error) {
		db.close()
		throw error
	}
}

function makeTables(db: SqlDatabase, directory: string): void {
	db.exec('BEGIN IMMEDIATE')
	const version = db.prepare<{ user_version: number }>('PRAGMA user_version').get()?.user_version ?? 0
	if (version > SCHEMA_VERSION) {
		const message =
			`The database in ${directory} has format ${version}, this Planstream knows formats up to ${SCHEMA_VERSION}; ` +
			'start the newer Planstream that wrote it, or use another directory.'
		throw new PlanstreamError('storage_unavailable', message, { directory, format: version })
	}
	const change = version === 0 ? SCHEMA : MIGRATIONS.slice(version - 1).join('')
	if (version < SCHEMA_VERSION) db.exec(`${change}; PRAGMA user_version = ${SCHEMA_VERSION}`)
	db.exec('COMMIT')
}

function lockedError(directory: string, cause: unknown): PlanstreamError {
	const pid = ownerOf(directory)
	const message =
		`Another Planstream process${pid === null ? '' : ` (pid ${pid})`} has the data directory ${directory} open; ` +
		'stop it, or set PLANSTREAM_DATA to another directory.'
	return new PlanstreamError('storage_unavailable', message, { directory, pid }, { cause })
}

function ownerOf(directory: string): number | null {
	try {
		const pid = Number(readFileSync(join(directory, OWNER_FILE), 'utf8'))
		return Number.isSafeInteger(pid) && pid > 0 ? pid : null
	} catch {
		return null
	}
}

export type AtRest = 'finished' | 'open'

/** A row of `logs` as the store keeps it at hand. In the table, `head_seq` and `fingerprint` may be those of an event before the newest. */
export interface LogRow {
	readonly log_id: number
	readonly epoch: string
	readonly head_seq: number
	readonly state_seq: number
	readonly oldest_seq: number
	readonly fingerprint: string
	/** The fingerprint of the event before `oldest_seq`. */
	readonly before_fingerprint: string
	readonly trim_reason: TrimReason | null
	readonly created_at: string | null
	readonly unfinished: 0 | 1
	/** What retention looks for: plans that are finished, or run elsewhere and not finished; null for all others. */
	readonly at_rest: AtRest | null
	/** When the summary was last stored. */
	readonly updated_at: string | null
	/** Of the plan, and what else `list` looks for; see {@link listedBy}. */
	readonly status: string | null
	readonly labels: string | null
	readonly query_text: string | null
	/** PlanSummary as JSON. */
	readonly summary: string | null
}

export interface EventRow {
	readonly seq: number
	readonly fingerprint: string
	readonly text: string
}

interface FoundPlan {
	readonly tenant: string
	readonly plan_id: string
}

export type Statements = ReturnType<typeof prepareStatements>

/** Everything that is asked of the tables. */
export function prepareStatements(db: SqlDatabase) {
	return { ...logStatements(db), ...eventStatements(db) }
}

function logStatements(db: SqlDatabase) {
	return {
		begin: db.prepare('BEGIN IMMEDIATE'),
		commit: db.prepare('COMMIT'),
		findLog: db.prepare<LogRow>(
			`SELECT log_id, epoch, head_seq, state_seq, oldest_seq, fingerprint, before_fingerprint, trim_reason,
				created_at, unfinished, at_rest, updated_at, status, labels, query_text, summary FROM logs WHERE tenant = ? AND plan_id = ?`,
		),
		addLog: db.prepare(
			`INSERT INTO logs (tenant, plan_id, epoch, head_seq, state_seq, oldest_seq, fingerprint, before_fingerprint, trim_reason, unfinished)
				VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)`,
		),
		setLog: db.prepare(
			`UPDATE logs SET head_seq = ?, state_seq = ?, oldest_seq = ?, fingerprint = ?, before_fingerprint = ?, trim_reason = ?,
				created_at = ?, unfinished = ?, at_rest = ?, updated_at = ?, status = ?, labels = ?, query_text = ?, summary = ?
				WHERE log_id = ?`,
		),
		/** Touches no column of the list, so that its index stays as it is. */
		growLog: db.prepare(
			'UPDATE logs SET head_seq = ?, state_seq = ?, fingerprint = ?, updated_at = ?, summary = ? WHERE log_id = ?',
		),
		renameLog: db.prepare('UPDATE logs SET tenant = ?, plan_id = ? WHERE log_id = ?'),
		removeLog: db.prepare('DELETE FROM logs WHERE log_id = ?'),
		/** How far so many plans reach. */
		listEnd: db.prepare<ListPosition>(
			`SELECT created_at, plan_id FROM logs WHERE tenant = ? AND created_at >= ? AND (created_at, plan_id) < (?, ?)
				ORDER BY created_at DESC, plan_id DESC LIMIT 1 OFFSET ?`,
		),
		/** Leaves out nothing that matches; a column that is null may match anything. The first bound is what the index is searched by. */
		listLogs: db.prepare<ListPosition & { readonly summary: string }>(
			`SELECT created_at, plan_id, summary FROM logs WHERE tenant = ? AND created_at >= ?
				AND (created_at, plan_id) < (?, ?) AND (created_at, plan_id) >= (?, ?)
				AND instr(?, status) AND coalesce(instr(labels, ?), 1) AND coalesce(instr(query_text, ?), 1)
				ORDER BY created_at DESC, plan_id DESC LIMIT ?`,
		),
		unfinished: db.prepare<FoundPlan>('SELECT tenant, plan_id FROM logs WHERE unfinished = 1'),
		finishedBefore: db.prepare<FoundPlan>(
			"SELECT tenant, plan_id FROM logs WHERE at_rest = 'finished' AND updated_at < ? LIMIT ?",
		),
		openBefore: db.prepare<FoundPlan>("SELECT tenant, plan_id FROM logs WHERE at_rest = 'open' AND updated_at < ? LIMIT ?"),
		finishedLarge: db.prepare<FoundPlan>(
			"SELECT tenant, plan_id FROM logs WHERE at_rest = 'finished' AND head_seq - oldest_seq >= ? LIMIT ?",
		),
		plansOf: db.prepare<{ plan_id: string }>('SELECT plan_id FROM logs WHERE tenant = ?'),
		setBase: db.prepare('INSERT INTO bases (log_id, base) VALUES (?, ?) ON CONFLICT (log_id) DO UPDATE SET base = excluded.base'),
		/** A row that belongs to no log, of the size of a large event. */
		probe: db.prepare('INSERT OR REPLACE INTO bases (log_id, base) VALUES (0, hex(randomblob(32768)))'),
		findBase: db.prepare<{ base: string }>('SELECT base FROM bases WHERE log_id = ?'),
		removeBase: db.prepare('DELETE FROM bases WHERE log_id = ?'),
		markDeleted: db.prepare(
			'INSERT INTO doomed (log_id, below_seq) VALUES (?, ?) ON CONFLICT (log_id) DO UPDATE SET below_seq = excluded.below_seq',
		),
		findDeleted: db.prepare<{ log_id: number; below_seq: number }>('SELECT log_id, below_seq FROM doomed LIMIT 1'),
		unmarkDeleted: db.prepare('DELETE FROM doomed WHERE log_id = ?'),
	}
}

function eventStatements(db: SqlDatabase) {
	return {
		addEvent: db.prepare('INSERT INTO events (log_id, seq, event_id, sent_digest, fingerprint, text) VALUES (?, ?, ?, ?, ?, ?)'),
		findEvent: db.prepare<{ seq: number; sent_digest: string }>(
			'SELECT seq, sent_digest FROM events WHERE log_id = ? AND event_id = ?',
		),
		readEvents: db.prepare<EventRow>(
			'SELECT seq, fingerprint, text FROM events WHERE log_id = ? AND seq BETWEEN ? AND ? ORDER BY seq LIMIT ?',
		),
		readRecords: db.prepare<StoredRecord>(
			`SELECT seq, event_id, sent_digest, fingerprint, text FROM events WHERE log_id = ? AND seq BETWEEN ? AND ?
				ORDER BY seq LIMIT ?`,
		),
		findFingerprint: db.prepare<{ fingerprint: string }>('SELECT fingerprint FROM events WHERE log_id = ? AND seq = ?'),
		newestEvent: db.prepare<{ seq: number; fingerprint: string }>(
			'SELECT seq, fingerprint FROM events WHERE log_id = ? ORDER BY seq DESC LIMIT 1',
		),
		oldestEvent: db.prepare<{ seq: number | null }>('SELECT min(seq) AS seq FROM events WHERE log_id = ?'),
		removeEvents: db.prepare('DELETE FROM events WHERE log_id = ? AND seq < ?'),
		removeEvent: db.prepare('DELETE FROM events WHERE log_id = ? AND seq = ?'),
	}
}
