import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PlanstreamError } from '@planstream/shared'
import { openDatabase, type SqlDatabase } from './sqlite-driver.js'
import { asStorageError, isLocked } from './storage-errors.js'
import type { TrimReason } from './trim.js'

/** The file inside the data directory that holds every log. */
const DATABASE_FILE = 'planstream.db'
/** Says which process has the database open, for the message to the next one. */
const OWNER_FILE = 'planstream.pid'

const SCHEMA_VERSION = 1

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
		summary TEXT,
		UNIQUE (tenant, plan_id)
	) STRICT;
	CREATE INDEX logs_by_age ON logs (tenant, created_at, plan_id);
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
`

/** A row of `logs` as the store keeps it at hand. */
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
	return {
		findLog: db.prepare<LogRow>(
			`SELECT log_id, epoch, head_seq, state_seq, oldest_seq, fingerprint, before_fingerprint, trim_reason,
				created_at, unfinished, summary FROM logs WHERE tenant = ? AND plan_id = ?`,
		),
		addLog: db.prepare(
			`INSERT INTO logs (tenant, plan_id, epoch, head_seq, state_seq, oldest_seq, fingerprint, before_fingerprint, unfinished)
				VALUES (?, ?, ?, 0, 0, 1, ?, ?, 0)`,
		),
		setLog: db.prepare(
			`UPDATE logs SET head_seq = ?, state_seq = ?, oldest_seq = ?, fingerprint = ?, before_fingerprint = ?, trim_reason = ?,
				created_at = ?, unfinished = ?, summary = ? WHERE log_id = ?`,
		),
		removeLog: db.prepare('DELETE FROM logs WHERE log_id = ?'),
		listLogs: db.prepare<{ created_at: string; plan_id: string; summary: string }>(
			`SELECT created_at, plan_id, summary FROM logs WHERE tenant = ? AND (created_at, plan_id) < (?, ?)
				ORDER BY created_at DESC, plan_id DESC LIMIT ?`,
		),
		unfinished: db.prepare<{ tenant: string; plan_id: string }>('SELECT tenant, plan_id FROM logs WHERE unfinished = 1'),
		addEvent: db.prepare('INSERT INTO events (log_id, seq, event_id, sent_digest, fingerprint, text) VALUES (?, ?, ?, ?, ?, ?)'),
		findEvent: db.prepare<{ seq: number; sent_digest: string }>(
			'SELECT seq, sent_digest FROM events WHERE log_id = ? AND event_id = ?',
		),
		readEvents: db.prepare<EventRow>(
			'SELECT seq, fingerprint, text FROM events WHERE log_id = ? AND seq BETWEEN ? AND ? ORDER BY seq LIMIT ?',
		),
		findFingerprint: db.prepare<{ fingerprint: string }>('SELECT fingerprint FROM events WHERE log_id = ? AND seq = ?'),
		oldestEvent: db.prepare<{ seq: number | null }>('SELECT min(seq) AS seq FROM events WHERE log_id = ?'),
		removeEvents: db.prepare('DELETE FROM events WHERE log_id = ? AND seq < ?'),
		removeEvent: db.prepare('DELETE FROM events WHERE log_id = ? AND seq = ?'),
		setBase: db.prepare('INSERT INTO bases (log_id, base) VALUES (?, ?) ON CONFLICT (log_id) DO UPDATE SET base = excluded.base'),
		findBase: db.prepare<{ base: string }>('SELECT base FROM bases WHERE log_id = ?'),
		removeBase: db.prepare('DELETE FROM bases WHERE log_id = ?'),
		doom: db.prepare(
			'INSERT INTO doomed (log_id, below_seq) VALUES (?, ?) ON CONFLICT (log_id) DO UPDATE SET below_seq = excluded.below_seq',
		),
		findDoomed: db.prepare<{ log_id: number; below_seq: number }>('SELECT log_id, below_seq FROM doomed LIMIT 1'),
		acquit: db.prepare('DELETE FROM doomed WHERE log_id = ?'),
	}
}

/** The open database of a data directory, held by this process alone. */
export interface OpenTables {
	readonly db: SqlDatabase
	readonly close: () => void
}

/**
 * Opens the database of a directory and makes its tables when they are not there.
 *
 * @throws `storage_unavailable` when another process has it open, or the file is not to be read
 */
export function openTables(directory: string): OpenTables {
	const db = openOwn(directory)
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
	return { db, close }
}

function openOwn(directory: string): SqlDatabase {
	let db: SqlDatabase | null = null
	try {
		db = openDatabase(join(directory, DATABASE_FILE))
		// The order matters: a WAL that is entered in exclusive mode keeps its index in this process and no one else gets in.
		db.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL')
		// Pages that many groups touch go to the file once in 8,192 (32 MiB of WAL) rather than once in SQLite's 1,000.
		db.exec('PRAGMA wal_autocheckpoint = 8192; PRAGMA journal_size_limit = 67108864; PRAGMA cache_size = -65536')
		makeTables(db, directory)
		return db
	} catch (error) {
		db?.close()
		throw isLocked(error) ? lockedError(directory, error) : asStorageError(error, directory)
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
	if (version === 0) db.exec(`${SCHEMA}; PRAGMA user_version = ${SCHEMA_VERSION}`)
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
