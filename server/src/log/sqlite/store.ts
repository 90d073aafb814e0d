import { EMPTY_FINGERPRINT, type FullCursor, type Position } from '@planstream/shared'
import {
	canTrim,
	createEpoch,
	createMissingLogError,
	createTakenError,
	decideAppend,
	type KnownEvent,
	STAGING_TENANT,
} from '../append.js'
import {
	type Origin,
	type PlanKey,
	planKey,
	type ResolvedPosition,
	type RetirableQuery,
	resolvePosition,
	type StoredRecord,
} from '../event-log.js'
import type { ListPosition, Prefilter } from '../listing.js'
import { LruMap } from '../lru.js'
import { ArtifactIndex } from './artifact-index.js'
import type { SqlDatabase } from './driver.js'
import type {
	AppendReply,
	AppendRequest,
	BeginRequest,
	HeadReply,
	RenameRequest,
	StoredSummary,
	TrimRequest,
	WriteRequest,
} from './messages.js'
import type { OpenFiles } from './open-files.js'
import { type EventRow, type LogRow, prepareStatements, type Statements } from './schema.js'

/** Indexed columns, except those that every append changes. */
const INDEXED = ['created_at', 'unfinished', 'at_rest', 'status', 'labels', 'query_text'] as const

/**
 * The rows of `logs` that a transaction changes, each written once at its end. The newest event determines the end of a log, so a
 * log that grew by transient events alone needs no write.
 */
export class DirtyRows {
	readonly #sql: Statements
	readonly #rows = new Map<string, LogRow>()
	/** The rows to write: `grown` writes the columns that an append changes, `moved` all of them. */
	readonly #outdated = new Map<number, 'grown' | 'moved'>()

	constructor(sql: Statements) {
		this.#sql = sql
	}

	get(key: string): LogRow | undefined {
		return this.#rows.get(key)
	}

	entries(): IterableIterator<[string, LogRow]> {
		return this.#rows.entries()
	}

	/** Adds a row that is already in the table. */
	add(key: string, row: LogRow): void {
		this.#rows.set(key, row)
	}

	grow(key: string, before: LogRow, after: LogRow): void {
		const { log_id, state_seq, summary, at_rest } = after
		this.#rows.set(key, after)
		if (!INDEXED.every((column) => after[column] === before[column])) this.#outdated.set(log_id, 'moved')
		else if (this.#outdated.has(log_id)) return
		// Retention searches the table for the size of a finished plan.
		else if (state_seq !== before.state_seq || summary !== before.summary || at_rest === 'finished')
			this.#outdated.set(log_id, 'grown')
	}

	/** Changes a row whose place in an index may change. */
	move(key: string, row: LogRow): void {
		this.#rows.set(key, row)
		this.#outdated.set(row.log_id, 'moved')
	}

	delete(key: string): void {
		this.#rows.delete(key)
	}

	write(): void {
		for (const row of this.#rows.values()) {
			const outdated = this.#outdated.get(row.log_id)
			if (outdated === 'grown') this.#writeGrown(row)
			else if (outdated === 'moved') this.#writeMoved(row)
		}
	}

	clear(): void {
		this.#rows.clear()
		this.#outdated.clear()
	}

	#writeGrown({ head_seq, state_seq, fingerprint, updated_at, summary, log_id }: LogRow): void {
		this.#sql.growLog.run(head_seq, state_seq, fingerprint, updated_at, summary, log_id)
	}

	#writeMoved(row: LogRow): void {
		const { head_seq, state_seq, oldest_seq, fingerprint, before_fingerprint, trim_reason } = row
		const { created_at, unfinished, at_rest, updated_at, status, labels, query_text, summary } = row
		const shown = [created_at, unfinished, at_rest, updated_at, status, labels, query_text, summary] as const
		const numbers = [head_seq, state_seq, oldest_seq] as const
		this.#sql.setLog.run(...numbers, fingerprint, before_fingerprint, trim_reason, ...shown, row.log_id)
	}
}

/** Limit on cached rows of `logs`, in bytes. */
const MAX_ROWS_BYTES = 8_388_608
/** Bytes of a row besides its summary and labels. */
const ROW_BYTES = 1024
/** Greater than any sequence number. */
const EVERY_SEQ = Number.MAX_SAFE_INTEGER

/**
 * Reads and writes the tables synchronously; threads and waiting are left to its caller.
 * Methods that write must be called inside {@link SqliteStore.transaction}.
 */
export class SqliteStore {
	readonly #db: SqlDatabase
	readonly #sql: Statements
	readonly #cache = new LruMap<LogRow>(
		() => MAX_ROWS_BYTES,
		({ summary, labels }) => ROW_BYTES + (summary?.length ?? 0) + (labels?.length ?? 0),
	)
	readonly #changed: DirtyRows
	readonly #files: Pick<OpenFiles, 'assertPresent'>
	readonly artifacts: ArtifactIndex
	#hasDeleted: boolean

	/** @param files - the files of the database. @defaultValue none that could be taken away */
	constructor(db: SqlDatabase, files: Pick<OpenFiles, 'assertPresent'> = { assertPresent: () => undefined }) {
		this.#db = db
		this.#files = files
		this.artifacts = new ArtifactIndex(db)
		this.#sql = prepareStatements(db)
		this.#changed = new DirtyRows(this.#sql)
		this.#hasDeleted = this.#sql.findDeleted.get() !== undefined
		this.#forgetStaged()
	}

	/** True while events of removed or trimmed logs wait for {@link SqliteStore.sweep}. */
	get hasDeleted(): boolean {
		return this.#hasDeleted
	}

	/** @throws PlanstreamError `storage_unavailable` when the files were moved or deleted */
	assertPresent(): void {
		this.#files.assertPresent()
	}

	/**
	 * Runs `work` and commits its writes, or rolls back and throws. It also throws when the files are gone after the commit, which nobody
	 * would find there again.
	 */
	transaction<Result>(work: () => Result): Result {
		this.assertPresent()
		const result = this.#transact(work)
		this.assertPresent()
		return result
	}

	#transact<Result>(work: () => Result): Result {
		try {
			this.#sql.begin.run()
			const result = work()
			this.#changed.write()
			this.#sql.commit.run()
			for (const [key, row] of this.#changed.entries()) this.#cache.set(key, row)
			return result
		} catch (error) {
			// A full disk has ended the transaction already.
			if (this.#db.isTransaction) this.#db.exec('ROLLBACK')
			throw error
		} finally {
			this.#changed.clear()
		}
	}

	/** Refuses a request before it writes anything, so that the rest of the transaction stays valid. */
	write(request: WriteRequest): AppendReply | null {
		switch (request.kind) {
			case 'append':
				return this.#append(request)
			case 'trim':
				this.#trim(request)
				return null
			case 'remove':
				this.#remove(request.plan)
				return null
			case 'begin':
				this.#begin(request)
				return null
			case 'rename':
				this.#rename(request)
				return null
			case 'forget':
				this.artifacts.forgetReleased(request.artifacts)
				return null
			case 'probe':
				this.#sql.probe.run()
				return null
		}
	}

	/** Deletes up to `limit` events of removed or trimmed logs. */
	sweep(limit: number): void {
		const deleted = this.#sql.findDeleted.get()
		const oldest = deleted && this.#sql.oldestEvent.get(deleted.log_id)?.seq
		if (deleted && typeof oldest === 'number' && oldest < deleted.below_seq) {
			this.#sql.removeEvents.run(deleted.log_id, Math.min(oldest + limit, deleted.below_seq))
		} else if (deleted) {
			this.#sql.unmarkDeleted.run(deleted.log_id)
		}
		this.#hasDeleted = deleted !== undefined
	}

	find(plan: PlanKey): LogRow | null {
		const key = planKey(plan)
		const known = this.#changed.get(key) ?? this.#cache.get(key)
		if (known) return known
		const found = this.#sql.findLog.get(plan.tenant, plan.plan_id)
		if (!found) return null
		const newest = this.#sql.newestEvent.get(found.log_id)
		const row =
			newest && newest.seq > found.head_seq ? { ...found, head_seq: newest.seq, fingerprint: newest.fingerprint } : found
		this.#cache.set(key, row)
		return row
	}

	toHeadReply(row: LogRow): HeadReply {
		const { epoch, head_seq, state_seq, oldest_seq, fingerprint, summary } = row
		return { epoch, head_seq, state_seq, oldest_seq, fingerprint, summary }
	}

	/** Returns the replacement of the trimmed events; null when there are none. */
	findBase(row: LogRow): string | null {
		return row.trim_reason === null ? null : (this.#sql.findBase.get(row.log_id)?.base ?? null)
	}

	findOrigin(row: LogRow): Origin | null {
		const { oldest_seq, before_fingerprint, trim_reason } = row
		const base = this.findBase(row)
		if (base === null || trim_reason === null) return null
		return { seq: oldest_seq - 1, fingerprint: before_fingerprint, base, reason: trim_reason }
	}

	resolvePosition(after: Position, row: LogRow): ResolvedPosition {
		return resolvePosition(after, { ...row, fingerprintAt: (seq) => this.#findFingerprint(row, seq) })
	}

	findCursor(row: LogRow, seq: number): FullCursor {
		return { epoch: row.epoch, seq, fingerprint: this.#findFingerprint(row, seq) }
	}

	readEvents(row: LogRow, from_seq: number, to_seq: number, limit: number): EventRow[] {
		return this.#sql.readEvents.all(row.log_id, from_seq, to_seq, limit)
	}

	readRecords(row: LogRow, from_seq: number, limit: number): StoredRecord[] {
		return this.#sql.readRecords.all(row.log_id, from_seq, row.head_seq, limit)
	}

	/** Returns the position of the `count`th plan after a position in the list; null when there are fewer. */
	findListEnd(tenant: string, { created_after }: Prefilter, after: ListPosition, count: number): ListPosition | null {
		return this.#sql.listEnd.get(tenant, created_after, after.created_at, after.plan_id, count - 1) ?? null
	}

	/** Returns the summaries of plans between two positions that may match. */
	listSummaries(tenant: string, { statuses, label, text }: Prefilter, after: ListPosition, end: ListPosition, limit: number) {
		const between = [end.created_at, after.created_at, after.plan_id, end.created_at, end.plan_id] as const
		return this.#sql.listLogs.all(tenant, ...between, statuses, label, text, limit)
	}

	listUnfinished(): PlanKey[] {
		return this.#sql.unfinished.all().map(({ tenant, plan_id }) => ({ tenant, plan_id }))
	}

	listRetirable(query: RetirableQuery): PlanKey[] {
		const { limit } = query
		const found =
			query.kind === 'large'
				? this.#sql.finishedLarge.all(query.more_events_than, limit)
				: this.#sql[query.kind === 'finished' ? 'finishedBefore' : 'openBefore'].all(query.updated_before, limit)
		return found.map(({ tenant, plan_id }) => ({ tenant, plan_id }))
	}

	#append({ plan, records, expectations, summary }: AppendRequest): AppendReply {
		const row = this.find(plan)
		const known = (event_id: string): KnownEvent | null => (row ? this.#findKnown(row, event_id) : null)
		const { end, results, added } = decideAppend(plan, row, records, expectations, known)
		const seqs = results.map(({ seq }) => seq)
		if (row && added.length === 0) return { head: this.toHeadReply(row), seqs, fingerprints: null }
		const log = row ?? this.#create(plan, end.epoch, null, 0)
		for (const { record, seq, fingerprint } of added) {
			this.#sql.addEvent.run(log.log_id, seq, record.event_id, record.sent_digest, fingerprint, record.text)
			if (record.artifacts !== undefined) this.artifacts.add(plan, log.log_id, seq, record.artifacts)
		}
		const { head_seq, state_seq, fingerprint } = end
		const grown = { ...log, head_seq, state_seq, fingerprint, ...(summary && toColumns(summary)) }
		this.#changed.grow(planKey(plan), log, grown)
		const head = summary === null ? this.toHeadReply(grown) : { ...this.toHeadReply(grown), summary: null }
		return { head, seqs, fingerprints: added.map((event) => event.fingerprint) }
	}

	#create({ tenant, plan_id }: PlanKey, epoch: string, origin: Origin | null, state_seq: number): LogRow {
		const head_seq = origin?.seq ?? 0
		const fingerprint = origin?.fingerprint ?? EMPTY_FINGERPRINT
		const trim_reason = origin?.reason ?? null
		const numbers = [head_seq, state_seq, head_seq + 1] as const
		const { lastInsertRowid } = this.#sql.addLog.run(tenant, plan_id, epoch, ...numbers, fingerprint, fingerprint, trim_reason)
		const log_id = Number(lastInsertRowid)
		if (origin) this.#sql.setBase.run(log_id, origin.base)
		const chain = { oldest_seq: head_seq + 1, fingerprint, before_fingerprint: fingerprint, trim_reason }
		const unlisted = { status: null, labels: null, query_text: null, summary: null } as const
		const unsummarised = { created_at: null, unfinished: 0, at_rest: null, updated_at: null, ...unlisted } as const
		return { log_id, epoch, head_seq, state_seq, ...chain, ...unsummarised }
	}

	#begin({ plan, origin, state_seq, artifacts }: BeginRequest): void {
		if (this.find(plan)) throw createTakenError(plan)
		const row = this.#create(plan, createEpoch(), origin, state_seq)
		this.artifacts.add(plan, row.log_id, row.head_seq, artifacts)
		this.#changed.add(planKey(plan), row)
	}

	#rename({ plan, to, summary }: RenameRequest): void {
		if (this.find(to)) throw createTakenError(to)
		const row = this.find(plan)
		if (!row) throw createMissingLogError(plan)
		this.#sql.renameLog.run(to.tenant, to.plan_id, row.log_id)
		this.artifacts.move(row.log_id, to)
		this.#changed.delete(planKey(plan))
		this.#cache.delete(planKey(plan))
		this.#changed.move(planKey(to), { ...row, ...toColumns(summary) })
	}

	/** Removes logs that were under construction when the previous process ended. */
	#forgetStaged(): void {
		const staged = this.#sql.plansOf.all(STAGING_TENANT)
		if (staged.length === 0) return
		try {
			this.transaction(() => {
				for (const { plan_id } of staged) this.#remove({ tenant: STAGING_TENANT, plan_id })
			})
		} catch {
			// Opening must work on a full disk. These logs are invisible, and the next start tries again.
		}
	}

	/** Finds a retained event by id. A trimmed event that is not swept yet is deleted, so that its id can be used again. */
	#findKnown(row: LogRow, event_id: string): KnownEvent | null {
		const event = this.#sql.findEvent.get(row.log_id, event_id)
		if (!event) return null
		if (event.seq >= row.oldest_seq) return event
		this.#sql.removeEvent.run(row.log_id, event.seq)
		return null
	}

	#trim({ plan, before_seq, replacement }: TrimRequest): void {
		const row = this.find(plan)
		if (!row || !canTrim(plan, row, before_seq)) return
		const before_fingerprint = this.#findFingerprint(row, before_seq - 1)
		this.#sql.setBase.run(row.log_id, replacement.base)
		this.#markDeleted(row.log_id, before_seq)
		this.#changed.move(planKey(plan), { ...row, oldest_seq: before_seq, before_fingerprint, trim_reason: replacement.reason })
		this.artifacts.release(row.log_id, before_seq, replacement.artifacts)
	}

	#remove(plan: PlanKey): void {
		const row = this.find(plan)
		if (!row) return
		this.#sql.removeLog.run(row.log_id)
		this.#sql.removeBase.run(row.log_id)
		this.#markDeleted(row.log_id, EVERY_SEQ)
		this.#changed.delete(planKey(plan))
		this.#cache.delete(planKey(plan))
		this.artifacts.release(row.log_id, EVERY_SEQ)
	}

	#markDeleted(log_id: number, below_seq: number): void {
		this.#sql.markDeleted.run(log_id, below_seq)
		this.#hasDeleted = true
	}

	#findFingerprint(row: LogRow, seq: number): string {
		if (seq === row.head_seq) return row.fingerprint
		if (seq === row.oldest_seq - 1) return row.before_fingerprint
		const event = this.#sql.findFingerprint.get(row.log_id, seq)
		if (!event) throw new Error(`the database has no event ${seq} of log ${row.log_id}: the file is damaged, restore a backup`)
		return event.fingerprint
	}
}

function toColumns({
	json,
	...columns
}: StoredSummary): Pick<LogRow, keyof StoredSummary & keyof LogRow> & { readonly summary: string } {
	return { ...columns, summary: json }
}
