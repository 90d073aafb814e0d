import {
	type FullCursor,
	isFullCursor,
	type PlanStatus,
	type PlanSummary,
	type Position,
	type ResetReason,
} from '@planstream/shared'

/** The key of a log. Two tenants may use the same plan id and never learn of each other. */
export interface PlanKey {
	readonly tenant: string
	readonly plan_id: string
}

/** One text for a plan's key; no plan id holds the separator. */
export function planKey({ tenant, plan_id }: PlanKey): string {
	return `${tenant}\n${plan_id}`
}

/** An event as the hub hands it to the log, which looks at nothing inside `text`. */
export interface LogRecord {
	readonly event_id: string
	/** The event's JSON without `seq` and `cursor`. */
	readonly text: string
	/** sha1 of the event as it was sent; "the same event again" means the same id and the same digest. */
	readonly sent_digest: string
	/** Transient records (progress, output, metrics) do not raise `state_seq`. */
	readonly transient: boolean
}

export interface Head {
	readonly epoch: string
	/** Sequence number of the newest event; 0 in a log without events. */
	readonly head_seq: number
	/** Sequence number of the newest record that is not transient. */
	readonly state_seq: number
	/** Sequence number of the oldest retained event; `head_seq + 1` when none is retained. */
	readonly oldest_seq: number
	readonly fingerprint: string
	/** What `list` shows of the plan; the hub folds it and the log stores it with the head. */
	readonly summary: PlanSummary | null
}

export interface StoredEvent {
	readonly seq: number
	readonly cursor: string
	/** The event's whole JSON with `seq` and `cursor` in front, ready for every transport. */
	readonly text: string
}

/** What a read could do with the position it was given. */
export interface Verdict {
	/** null: the position was honoured and nothing was lost. */
	readonly reset: ResetReason | null
	/** null while the plan has no log. */
	readonly epoch: string | null
}

export interface Page {
	readonly verdict: Verdict
	/** null while the plan has no log. */
	readonly head: Head | null
	/** Sequence number of the first event a reader gets from here on: position + 1, or `oldest_seq` after a reset. */
	readonly from_seq: number
	/** The cursor of `from_seq - 1`, where a resume would go on; null while the plan has no log. */
	readonly from_cursor: FullCursor | null
	/** What stands for the trimmed events, opaque to the log; with the resets of a trimmed log, else null: it may be large. */
	readonly base: string | null
	readonly events: readonly StoredEvent[]
}

/** Why the oldest events of a log are gone. */
export type TrimReason = 'trimmed' | 'cleared'

/** A record as the store holds it, with its place in the chain. */
export interface StoredRecord {
	readonly seq: number
	readonly event_id: string
	readonly sent_digest: string
	readonly fingerprint: string
	readonly text: string
}

/** Where a log begins whose older events are gone. */
export interface Origin {
	/** Sequence number of the last event that is gone. */
	readonly seq: number
	/** The fingerprint after it. */
	readonly fingerprint: string
	/** What stands for the events that are gone. */
	readonly base: string
	readonly reason: TrimReason
}

/** A piece of a log as it is stored. */
export interface RecordPage {
	readonly head: Head
	/** With the page of the oldest record of a trimmed log, else null. */
	readonly origin: Origin | null
	readonly records: readonly StoredRecord[]
}

/** Which plans may be ripe for {@link EventLog.retirable}. */
export type RetirableQuery = { readonly limit: number } & (
	| {
			/** Plans that are finished, or plans that are run elsewhere and are not. */
			readonly kind: 'finished' | 'open'
			/** Only those whose summary was last updated before this time (ISO 8601). */
			readonly updated_before: string
	  }
	| {
			/** Finished plans with more retained events than this. */
			readonly kind: 'large'
			readonly more_events_than: number
	  }
)

export interface AppendOptions {
	/** Refuse with `conflict` unless the head is here; 0 means "only if this makes the log". */
	readonly expected_seq?: number
	/** Refuse with `conflict` unless `state_seq` is here. */
	readonly expected_state_seq?: number
	/** Stored with the head in the same transaction. */
	readonly summary?: PlanSummary
}

export interface Appended {
	readonly head: Head
	/** One a record, in the order they were given. */
	readonly results: readonly { readonly event_id: string; readonly seq: number; readonly duplicate: boolean }[]
	/** The events this append added, encoded; empty when all were duplicates. */
	readonly events: readonly StoredEvent[]
}

export interface ListQuery {
	readonly tenant: string
	readonly status?: readonly PlanStatus[]
	readonly labels?: Readonly<Record<string, string>>
	/** Plans whose query contains this text, ignoring case. */
	readonly query?: string
	/** Only plans created at or after this time (ISO 8601). */
	readonly created_after?: string
	/** Only plans created before this time (ISO 8601). */
	readonly created_before?: string
	readonly limit: number
	/** `next_page` of the page before. */
	readonly page?: string
}

export interface PlanPage {
	/** Newest first, by creation time and then id. */
	readonly plans: readonly PlanSummary[]
	readonly next_page: string | null
}

/** What a store held and could not read when it was opened, now or before; known until an operator removes the copies. */
export interface Dropped {
	/** Names of files in the data directory: the damaged write-ahead logs as they were found. */
	readonly copies: readonly string[]
	/** Pages from the damage to the last whole one. */
	readonly frames: number
	/** Groups of appends among them that are whole. */
	readonly commits: number
}

/**
 * An append-only log a plan. It knows order and durability and never looks at event types.
 *
 * Order: sequence numbers are contiguous a plan from 1 and are given inside the append. There is no order between plans.
 * Every method may reject with a typed {@link PlanstreamError}: `conflict`, `storage_full`, `storage_unavailable`, `too_large`.
 */
export interface EventLog {
	/** Acknowledged events may be missing when it is not null; which ones nobody knows. */
	readonly dropped: Dropped | null

	/**
	 * Adds records, all or nothing, and resolves when they are durable. First dedupe, then the expectations, then
	 * sequence and fingerprint, all inside one transaction:
	 *
	 * - every record known with the same digest: resolves with their sequence numbers, changes nothing, whatever was expected
	 * - a known id with another digest: `conflict` with `event_id`
	 * - known and new ids in one batch: `conflict` with `duplicates[]`
	 * - an expectation not met: `conflict` with `head_seq` and `state_seq`
	 */
	append(plan: PlanKey, records: readonly LogRecord[], options?: AppendOptions): Promise<Appended>

	/** Events behind a position, at most `limit`, with the verdict on the position. A plan without a log reads as empty. */
	read(plan: PlanKey, after: Position, limit: number): Promise<Page>

	/** null while the plan has no log. */
	head(plan: PlanKey): Promise<Head | null>

	/**
	 * A bell, not a queue: rings after each append, trim or removal of the plan; early or twice, but never not at all.
	 * With `{ tenant }` alone it rings when any summary of the tenant changes.
	 */
	watch(target: PlanKey | { readonly tenant: string }, onGrow: () => void): Disposable

	/**
	 * Drops the events before `before_seq` and keeps `base` in their place, in one transaction.
	 * Sequence, epoch and fingerprints go on; readers behind the trim get `reason` as their verdict.
	 */
	trim(plan: PlanKey, before_seq: number, replacement: { readonly base: string; readonly reason: TrimReason }): Promise<void>

	/** Forgets the plan. A later log of that id has a new epoch. */
	remove(plan: PlanKey): Promise<void>

	/** Plans by their stored summaries. */
	list(query: ListQuery): Promise<PlanPage>

	/** Plans of every tenant that are not finished and owned by this server: what goes on after a restart. */
	unfinished(): Promise<readonly PlanKey[]>

	/** Some plans of every tenant that a limit of retention concerns, in no order; what is trimmed or removed is not named again. */
	retirable(query: RetirableQuery): Promise<readonly PlanKey[]>

	/**
	 * Records from a number on, at most `limit`, as the store holds them at this moment: never from a cache, so that what is
	 * checked or copied is what would be read after a restart. null for a plan without a log.
	 */
	records(plan: PlanKey, from_seq: number, limit: number): Promise<RecordPage | null>

	/**
	 * Makes a log without events, which appends then go on from; `conflict` when there is one. A log under a {@link stagedKey}
	 * that was not renamed is gone after a restart.
	 *
	 * @param origin - what came before its first event; null: nothing
	 * @param state_seq - sequence number of the newest event before it that is not transient
	 */
	begin(plan: PlanKey, origin: Origin | null, state_seq: number): Promise<void>

	/** Gives a log another key and a summary, in one transaction; `conflict` when there is a log under that key. */
	rename(plan: PlanKey, to: PlanKey, summary: PlanSummary): Promise<void>

	/** Makes as much durable as a large event takes, and rejects as an append would. */
	probe(): Promise<void>

	/** Waits for appends under way, then releases the store. */
	close(): Promise<void>
}

/** What stands behind the tail: a log without the bells, which the tail rings once a read can see the change. */
export type LogStore = Omit<EventLog, 'watch'>

/** What a verdict needs to know of a log. */
export interface LogFacts {
	readonly epoch: string
	readonly head_seq: number
	readonly oldest_seq: number
	/** The reason of the last trim; null before the first. */
	readonly trim_reason: TrimReason | null
	/** The fingerprint after the event at `seq`, for `oldest_seq - 1 <= seq <= head_seq`. */
	readonly fingerprintAt: (seq: number) => string
}

export interface ResolvedPosition {
	readonly reset: ResetReason | null
	/** Sequence number of the first event to deliver. */
	readonly from_seq: number
}

/**
 * What a log can do with a position. The epoch is looked at first: in another epoch the other two facts mean nothing.
 *
 * @param log - null: the plan has no log
 */
export function resolvePosition(position: Position, log: LogFacts | null): ResolvedPosition {
	if (log === null) return { reset: resetWithoutLog(position), from_seq: 1 }
	if (position === 'now') return { reset: null, from_seq: log.head_seq + 1 }
	const reset = resetOf(position, log)
	return { reset, from_seq: reset === null ? seqOf(position) + 1 : log.oldest_seq }
}

function resetOf(position: Exclude<Position, 'now'>, log: LogFacts): ResetReason | null {
	const seq = seqOf(position)
	const cursor = position !== 'start' && isFullCursor(position) ? position : null
	if (cursor && cursor.epoch !== log.epoch) return 'epoch'
	if (seq > log.head_seq) return 'rewind'
	if (seq < log.oldest_seq - 1) return log.trim_reason ?? 'trimmed'
	if (cursor && cursor.fingerprint !== log.fingerprintAt(seq)) return 'fork'
	return null
}

function resetWithoutLog(position: Position): ResetReason | null {
	if (position === 'start' || position === 'now') return null
	if (isFullCursor(position)) return 'epoch'
	return position.seq > 0 ? 'rewind' : null
}

function seqOf(position: Exclude<Position, 'now'>): number {
	return position === 'start' ? 0 : position.seq
}
