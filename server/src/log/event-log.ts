import {
	type FullCursor,
	isFullCursor,
	type PlanStatus,
	type PlanSummary,
	type Position,
	type ResetReason,
} from '@planstream/shared'

/** The key of a log. Two tenants may use the same plan id without seeing each other. */
export interface PlanKey {
	readonly tenant: string
	readonly plan_id: string
}

/** Encodes a plan's key as one string; no tenant or plan id contains the separator. */
export function planKey({ tenant, plan_id }: PlanKey): string {
	return `${tenant}\n${plan_id}`
}

/** An event as the hub passes it to the log, which never parses `text`. */
export interface LogRecord {
	readonly event_id: string
	/** The event's JSON without `seq` and `cursor`. */
	readonly text: string
	/** sha1 of the event as it was sent; a duplicate has the same id and the same digest. */
	readonly sent_digest: string
	/** Transient records (progress, output, metrics) do not raise `state_seq`. */
	readonly transient: boolean
	/** Ids of the stored files that the event names. @defaultValue none */
	readonly artifacts?: readonly string[] | undefined
}

/** A tenant with a plan that names an artifact. */
export interface ArtifactOwner {
	readonly artifact_id: string
	readonly tenant: string
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
	/** The plan's entry in `list`; the hub folds it and the log stores it with the head. */
	readonly summary: PlanSummary | null
}

export interface StoredEvent {
	readonly seq: number
	readonly cursor: string
	/** The event's whole JSON with `seq` and `cursor` in front, ready for every transport. */
	readonly text: string
}

/** The outcome of resolving a read's position. */
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
	/** The cursor of `from_seq - 1`, from which a reader resumes; null while the plan has no log. */
	readonly from_cursor: FullCursor | null
	/** Replaces the trimmed events, opaque to the log. It may be large, so it is null except on a reset of a trimmed log. */
	readonly base: string | null
	readonly events: readonly StoredEvent[]
}

/** The reason why the oldest events of a log are gone. */
export type TrimReason = 'trimmed' | 'cleared'

/** A record as it is stored, with its place in the chain. */
export interface StoredRecord {
	readonly seq: number
	readonly event_id: string
	readonly sent_digest: string
	readonly fingerprint: string
	readonly text: string
}

/** The start of a log whose older events are gone. */
export interface Origin {
	/** Sequence number of the newest event that is gone. */
	readonly seq: number
	/** The fingerprint after it. */
	readonly fingerprint: string
	/** Replaces the events that are gone. */
	readonly base: string
	readonly reason: TrimReason
}

/** Bytes of event text after which a page ends, so that pages of large events stay small. */
export const PAGE_BYTES = 4_194_304

/** Replaces the events that a trim drops. */
export interface Replacement {
	readonly base: string
	readonly reason: TrimReason
	/** Ids of the artifacts that the base names. @defaultValue none */
	readonly artifacts?: readonly string[]
}

/** A piece of a log as it is stored. */
export interface RecordPage {
	readonly head: Head
	/** With the page of the oldest record of a trimmed log, else null. */
	readonly origin: Origin | null
	readonly records: readonly StoredRecord[]
}

/** Selects the plans that {@link EventLog.retirable} returns. */
export type RetirableQuery = { readonly limit: number } & (
	| {
			/** Finished plans, or unfinished plans that an external system runs. */
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
	/** Is stored with the head in the same transaction. */
	readonly summary?: PlanSummary
}

export interface Appended {
	readonly head: Head
	/** One per record, in the same order. */
	readonly results: readonly { readonly event_id: string; readonly seq: number; readonly duplicate: boolean }[]
	/** The added events, encoded; empty when all were duplicates. */
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
	/** `next_page` of the previous page. */
	readonly page?: string
}

export interface PlanPage {
	/** Newest first, by creation time and then id. */
	readonly plans: readonly PlanSummary[]
	readonly next_page: string | null
}

/** Damage found when a store was opened, now or earlier; reported until an operator removes the copies. */
export interface Dropped {
	/** File names in the data directory: untouched copies of the damaged write-ahead logs. */
	readonly copies: readonly string[]
	/** Pages from the damage to the last intact one. */
	readonly frames: number
	/** Intact groups of appends among them. */
	readonly commits: number
}

/**
 * One append-only log per plan. It provides order and durability and never looks at event types.
 *
 * Order: sequence numbers are contiguous per plan, start at 1 and are assigned inside the append. There is no order between plans.
 * Every method may reject with a typed {@link PlanstreamError}: `conflict`, `storage_full`, `storage_unavailable`, `too_large`.
 */
export interface EventLog {
	/** When not null, acknowledged events may be missing; it is unknown which ones. */
	readonly dropped: Dropped | null

	/**
	 * Adds records, all or nothing, and resolves when they are durable. First dedupe, then the expectations, then
	 * sequence and fingerprint, all inside one transaction:
	 *
	 * - every id stored with the same digest: resolves with their sequence numbers, changes nothing, ignores the expectations
	 * - a stored id with another digest: `conflict` with `event_id`
	 * - stored and new ids in one batch: `conflict` with `duplicates[]`
	 * - an expectation not met: `conflict` with `head_seq` and `state_seq`
	 */
	append(plan: PlanKey, records: readonly LogRecord[], options?: AppendOptions): Promise<Appended>

	/** Reads at most `limit` events, or {@link PAGE_BYTES}, after a position, with the verdict on it. A plan without a log reads as empty. */
	read(plan: PlanKey, after: Position, limit: number): Promise<Page>

	/** Returns null while the plan has no log. */
	head(plan: PlanKey): Promise<Head | null>

	/**
	 * Calls `onGrow` after each append, trim or removal of the plan. Spurious calls are possible, a missed one is not.
	 * With `{ tenant }` alone it calls when any summary of the tenant changes.
	 */
	watch(target: PlanKey | { readonly tenant: string }, onGrow: () => void): Disposable

	/**
	 * Drops the events before `before_seq` and stores `base` in their place, in one transaction.
	 * Sequence, epoch and fingerprints continue; a reader positioned before the trim gets `reason` as its verdict.
	 */
	trim(plan: PlanKey, before_seq: number, replacement: Replacement): Promise<void>

	/** Removes the plan. A later log with the same id has a new epoch. */
	remove(plan: PlanKey): Promise<void>

	/** Calls `onRemove` after each trim and each removal of a plan. */
	watchRemovals(onRemove: () => void): Disposable

	/** Lists the tenants whose plans name these artifacts; a plan that is being imported counts. */
	artifactOwners(artifact_ids: readonly string[]): Promise<readonly ArtifactOwner[]>

	/** Lists at most `limit` artifacts that a trim or a removal took the name from; a plan may name them again, or still. */
	releasedArtifacts(limit: number): Promise<readonly ArtifactOwner[]>

	/** Takes these out of {@link EventLog.releasedArtifacts}. */
	forgetReleased(artifacts: readonly ArtifactOwner[]): Promise<void>

	/** Lists plans by their stored summaries. */
	list(query: ListQuery): Promise<PlanPage>

	/** Lists the unfinished plans of every tenant that this server runs: those to recover after a restart. */
	unfinished(): Promise<readonly PlanKey[]>

	/** Lists plans of every tenant that exceed a retention limit, unordered; once trimmed or removed, a plan is not listed again. */
	retirable(query: RetirableQuery): Promise<readonly PlanKey[]>

	/**
	 * Reads at most `limit` records from a sequence number on. It never uses a cache, so that a check or a copy sees what would
	 * be read after a restart. Returns null for a plan without a log.
	 */
	records(plan: PlanKey, from_seq: number, limit: number): Promise<RecordPage | null>

	/**
	 * Creates a log without events, ready for appends; `conflict` when there is one. A log under a {@link toStagedKey} that was not
	 * renamed is gone after a restart.
	 *
	 * @param origin - replaces the events before the first one; null when there were none
	 * @param state_seq - sequence number of the newest replaced event that is not transient
	 * @param artifacts - ids of the artifacts that the base names. @defaultValue none
	 */
	begin(plan: PlanKey, origin: Origin | null, state_seq: number, artifacts?: readonly string[]): Promise<void>

	/** Changes the key of a log and sets its summary, in one transaction; `conflict` when that key is in use. */
	rename(plan: PlanKey, to: PlanKey, summary: PlanSummary): Promise<void>

	/** Writes as much as a large event takes, and rejects as an append would. */
	probe(): Promise<void>

	/** Rejects when the files of the store were moved or deleted since it was opened; appends are refused until they are back. */
	assertPresent(): Promise<void>

	/** Waits for pending appends, then releases the store. */
	close(): Promise<void>
}

/** The log behind the tail. It has no watchers: the tail notifies them once a read can see the change. */
export type LogStore = Omit<EventLog, 'watch' | 'watchRemovals'>

/** The facts about a log that a verdict depends on. */
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
 * Resolves a position against a log. The epoch is compared first: in another epoch, sequence and fingerprint mean nothing.
 *
 * @param log - null when the plan has no log
 */
export function resolvePosition(position: Position, log: LogFacts | null): ResolvedPosition {
	if (log === null) return { reset: findResetWithoutLog(position), from_seq: 1 }
	if (position === 'now') return { reset: null, from_seq: log.head_seq + 1 }
	const reset = findReset(position, log)
	return { reset, from_seq: reset === null ? getSeq(position) + 1 : log.oldest_seq }
}

function findReset(position: Exclude<Position, 'now'>, log: LogFacts): ResetReason | null {
	const seq = getSeq(position)
	const cursor = position !== 'start' && isFullCursor(position) ? position : null
	if (cursor && cursor.epoch !== log.epoch) return 'epoch'
	if (seq > log.head_seq) return 'rewind'
	if (seq < log.oldest_seq - 1) return log.trim_reason ?? 'trimmed'
	if (cursor && cursor.fingerprint !== log.fingerprintAt(seq)) return 'fork'
	return null
}

function findResetWithoutLog(position: Position): ResetReason | null {
	if (position === 'start' || position === 'now') return null
	if (isFullCursor(position)) return 'epoch'
	return position.seq > 0 ? 'rewind' : null
}

function getSeq(position: Exclude<Position, 'now'>): number {
	return position === 'start' ? 0 : position.seq
}
