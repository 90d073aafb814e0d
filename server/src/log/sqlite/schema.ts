import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PlanstreamError } from '@planstream/shared'
import type { Dropped, PlanKey, StoredRecord, TrimReason } from '../event-log.js'
import type { ListPosition } from '../listing.js'
import { isLocked } from '../storage-errors.js'
import { openDatabase, type SqlDatabase } from './driver.js'
import { OpenFiles } from './open-files.js'
import { findDropped, type SetAside, setDamagedAside } from './wal-check.js'

/** The file inside the data directory that holds every log. */
export const DATABASE_FILE = 'planstream.db'
/** Holds the id of the process that has the database open, for the error of a second one. */
const OWNER_FILE = 'planstream.pid'

const SCHEMA_VERSION = 5

/** Sizes are indexed for finished plans only, so that an append to a running plan updates no size index. */
const RETENTION_INDEXES = `
	CREATE INDEX logs_at_rest ON logs (at_rest, updated_at) WHERE at_rest IS NOT NULL;
	CREATE INDEX logs_by_size ON logs (head_seq - oldest_seq) WHERE at_rest = 'finished';
`

/** Covers every column that `list` compares; only the summaries of matching plans are read from the table. */
const LIST_INDEX = 'CREATE INDEX logs_by_age ON logs (tenant, created_at, plan_id, status, labels, query_text);'

/**
 * The artifacts that logs name, each with the newest event that does; the tenant is that of the plan, also of a staged one. Rows with
 * `log_id` 0 are artifacts that a log no longer names.
 */
const ARTIFACTS = `
	CREATE TABLE artifacts (
		log_id INTEGER NOT NULL,
		artifact_id TEXT NOT NULL,
		seq INTEGER NOT NULL,
		tenant TEXT NOT NULL,
		PRIMARY KEY (log_id, artifact_id, tenant)
	) STRICT, WITHOUT ROWID;
	CREATE INDEX artifacts_by_owner ON artifacts (artifact_id, tenant);
`

/**
 * `log_id` identifies one life of (tenant, plan_id) and is never reused, so that the events of a removed log can be deleted a few
 * at a time. `doomed` lists the events still to delete: those of `log_id` below `below_seq`.
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
	${ARTIFACTS}
`

/** Migrates from format 1, which had no retention. */
const ADD_RETENTION = `
	ALTER TABLE logs ADD COLUMN at_rest TEXT;
	ALTER TABLE logs ADD COLUMN updated_at TEXT;
	UPDATE logs SET updated_at = summary ->> 'updated_at',
		at_rest = iif(summary ->> 'finished', 'finished', iif(summary ->> 'owner' = 'external', 'open', NULL));
	${RETENTION_INDEXES}
`

/** Migrates from format 2, in which `list` read every summary. It still does for older plans when a query has labels or text. */
const ADD_LISTING = `
	ALTER TABLE logs ADD COLUMN status TEXT;
	ALTER TABLE logs ADD COLUMN labels TEXT;
	ALTER TABLE logs ADD COLUMN query_text TEXT;
	UPDATE logs SET status = summary ->> 'status';
	DROP INDEX logs_by_age;
	${LIST_INDEX}
`

/** Migrates from format 3, in which a row always had the log's current end: a server that relies on that must not open the file. */
const SAME_TABLES = ''

/** Selects the artifacts in a list inside the text of managed events, as rows of the table. */
const selectListed = (list: string): string => `
	SELECT log_id, listed.value ->> 'artifact_id', seq, tenant
		FROM events JOIN logs USING (log_id), json_each(iif(json_valid(text), text, '{}'), '${list}') AS listed
		WHERE seq >= oldest_seq AND summary ->> 'owner' = 'managed' AND instr(text, '"artifact_id":')
			AND listed.type = 'object' AND listed.value ->> 'artifact_id' IS NOT NULL
`

/** Migrates from format 4, in which only the texts of events and bases say which artifacts a plan names. */
const ADD_ARTIFACTS = `
	${ARTIFACTS}
	INSERT OR REPLACE INTO artifacts ${selectListed('$.data.artifacts')};
	INSERT OR REPLACE INTO artifacts ${selectListed('$.data.payload.artifacts')};
	INSERT OR IGNORE INTO artifacts
		SELECT log_id, listed.key, oldest_seq - 1, tenant
			FROM bases JOIN logs USING (log_id), json_each(iif(json_valid(substr(base, 42)), substr(base, 42), '{}'), '$.fold.artifacts') AS listed
			WHERE typeof(listed.key) = 'text';
`

/** The statements that migrate each format to the next, from format 1 on. */
const MIGRATIONS = [ADD_RETENTION, ADD_LISTING, SAME_TABLES, ADD_ARTIFACTS]

/** The open database of a data directory, held by this process alone. */
export interface OpenTables {
	readonly db: SqlDatabase
	/** The part lost to damage of the write-ahead log; null when nothing is lost. */
	readonly dropped: Dropped | null
	readonly files: OpenFiles
	readonly close: () => void
}

/**
 * Opens the database of a directory and creates missing tables.
 *
 * @throws `storage_unavailable` when another process has it open or it has a later format, and SQLite's own errors
 */
export function openTables(directory: string): OpenTables {
	const { db, dropped } = openExclusively(directory)
	const ownerFile = join(directory, OWNER_FILE)
	try {
		writeFileSync(ownerFile, `${process.pid}\n`)
	} catch {
		// Reads must work on a full disk. A missing process id is better than a stale one.
		rmSync(ownerFile, { force: true })
	}
	const files = new OpenFiles(directory, join(directory, DATABASE_FILE))
	const close = (): void => {
		const isOwn = files.arePresent
		db.close()
		// In another place it is the file of another server.
		if (isOwn) rmSync(ownerFile, { force: true })
	}
	return { db, dropped, files, close }
}

function openExclusively(directory: string): Pick<OpenTables, 'db' | 'dropped'> {
	const file = join(directory, DATABASE_FILE)
	let db: SqlDatabase | null = null
	let aside: SetAside | null = null
	try {
		aside = setDamagedAside(file)
		db = connect(file)
		if (aside?.confirm()) {
			// Closing moves the intact frames to the database; SQLite then writes to a new file instead of the copy.
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
		throw createLockedError(directory, error)
	}
}

function connect(file: string): SqlDatabase {
	const db = openDatabase(file)
	try {
		// The order matters: with exclusive locking set first, SQLite keeps the WAL index in memory and locks out other processes.
		db.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL')
		// Checkpoints every 8,192 pages (32 MiB of WAL) instead of 1,000 write a page that many groups change less often.
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
			`The database in ${directory} has format ${version}; this Planstream supports formats up to ${SCHEMA_VERSION}. ` +
			'Start the newer Planstream that wrote it, or use another directory.'
		throw new PlanstreamError('storage_unavailable', message, { directory, format: version })
	}
	const change = version === 0 ? SCHEMA : MIGRATIONS.slice(version - 1).join('')
	if (version < SCHEMA_VERSION) db.exec(`${change}; PRAGMA user_version = ${SCHEMA_VERSION}`)
	db.exec('COMMIT')
}

function createLockedError(directory: string, cause: unknown): PlanstreamError {
	const pid = readOwner(directory)
	const message =
		pid === process.pid
			? `This process (pid ${pid}) has the data directory ${directory} open already. Close that Planstream, or use another directory.`
			: `Another Planstream process${pid === null ? '' : ` (pid ${pid})`} has the data directory ${directory} open. ` +
				'Stop it, or choose another directory (PLANSTREAM_DATA, or the option store).'
	return new PlanstreamError('storage_unavailable', message, { directory, pid }, { cause })
}

function readOwner(directory: string): number | null {
	try {
		const pid = Number(readFileSync(join(directory, OWNER_FILE), 'utf8'))
		return Number.isSafeInteger(pid) && pid > 0 ? pid : null
	} catch {
		return null
	}
}

export type AtRest = 'finished' | 'open'

/** A row of `logs` as it is cached. In the table, `head_seq` and `fingerprint` may be those of an older event. */
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
	/** `finished`, or `open` for an unfinished plan of an external system; null for plans without retention. */
	readonly at_rest: AtRest | null
	/** When the summary was last stored. */
	readonly updated_at: string | null
	/** Status of the plan; this and the next two columns are made by {@link toListColumns}. */
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

export type Statements = ReturnType<typeof prepareStatements>

export function prepareStatements(db: SqlDatabase) {
	return { ...prepareLogStatements(db), ...prepareEventStatements(db) }
}

function prepareLogStatements(db: SqlDatabase) {
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
		/** Changes no column of an index of the list, so that SQLite leaves it alone. */
		growLog: db.prepare(
			'UPDATE logs SET head_seq = ?, state_seq = ?, fingerprint = ?, updated_at = ?, summary = ? WHERE log_id = ?',
		),
		renameLog: db.prepare('UPDATE logs SET tenant = ?, plan_id = ? WHERE log_id = ?'),
		removeLog: db.prepare('DELETE FROM logs WHERE log_id = ?'),
		/** Finds the position a given number of plans further on. */
		listEnd: db.prepare<ListPosition>(
			`SELECT created_at, plan_id FROM logs WHERE tenant = ? AND created_at >= ? AND (created_at, plan_id) < (?, ?)
				ORDER BY created_at DESC, plan_id DESC LIMIT 1 OFFSET ?`,
		),
		/** Returns every match: a null column may match anything. The index is searched by the first bound. */
		listLogs: db.prepare<ListPosition & { readonly summary: string }>(
			`SELECT created_at, plan_id, summary FROM logs WHERE tenant = ? AND created_at >= ?
				AND (created_at, plan_id) < (?, ?) AND (created_at, plan_id) >= (?, ?)
				AND instr(?, status) AND coalesce(instr(labels, ?), 1) AND coalesce(instr(query_text, ?), 1)
				ORDER BY created_at DESC, plan_id DESC LIMIT ?`,
		),
		unfinished: db.prepare<PlanKey>('SELECT tenant, plan_id FROM logs WHERE unfinished = 1'),
		finishedBefore: db.prepare<PlanKey>("SELECT tenant, plan_id FROM logs WHERE at_rest = 'finished' AND updated_at < ? LIMIT ?"),
		openBefore: db.prepare<PlanKey>("SELECT tenant, plan_id FROM logs WHERE at_rest = 'open' AND updated_at < ? LIMIT ?"),
		finishedLarge: db.prepare<PlanKey>(
			"SELECT tenant, plan_id FROM logs WHERE at_rest = 'finished' AND head_seq - oldest_seq >= ? LIMIT ?",
		),
		plansOf: db.prepare<{ plan_id: string }>('SELECT plan_id FROM logs WHERE tenant = ?'),
		setBase: db.prepare('INSERT INTO bases (log_id, base) VALUES (?, ?) ON CONFLICT (log_id) DO UPDATE SET base = excluded.base'),
		/** Writes a row of the size of a large event that belongs to no log. */
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

function prepareEventStatements(db: SqlDatabase) {
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
