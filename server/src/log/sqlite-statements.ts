import type { StoredRecord, TrimReason } from './event-log.js'
import type { ListPlace } from './listing.js'
import type { SqlDatabase } from './sqlite-driver.js'

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
		listEnd: db.prepare<ListPlace>(
			`SELECT created_at, plan_id FROM logs WHERE tenant = ? AND created_at >= ? AND (created_at, plan_id) < (?, ?)
				ORDER BY created_at DESC, plan_id DESC LIMIT 1 OFFSET ?`,
		),
		/** Leaves out nothing that matches; a column that is null may match anything. The first bound is what the index is searched by. */
		listLogs: db.prepare<ListPlace & { readonly summary: string }>(
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
		doom: db.prepare(
			'INSERT INTO doomed (log_id, below_seq) VALUES (?, ?) ON CONFLICT (log_id) DO UPDATE SET below_seq = excluded.below_seq',
		),
		findDoomed: db.prepare<{ log_id: number; below_seq: number }>('SELECT log_id, below_seq FROM doomed LIMIT 1'),
		acquit: db.prepare('DELETE FROM doomed WHERE log_id = ?'),
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
