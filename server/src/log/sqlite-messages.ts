import type { FullCursor, Position, Problem } from '@planstream/shared'
import type {
	Dropped,
	ListQuery,
	LogRecord,
	Origin,
	PlanKey,
	PlanPage,
	RecordPage,
	RetirableQuery,
	StoredEvent,
	Verdict,
} from './event-log.js'
import type { AtRest } from './sqlite-statements.js'
import type { Replacement } from './trim.js'

/** A summary as it is stored: its JSON, and the facts that the tables are searched by. */
export interface StoredSummary {
	readonly json: string
	readonly created_at: string
	readonly unfinished: 0 | 1
	readonly at_rest: AtRest | null
	readonly updated_at: string
	readonly status: string
	readonly labels: string | null
	readonly query_text: string | null
}

export interface AppendRequest {
	readonly kind: 'append'
	readonly plan: PlanKey
	readonly records: readonly LogRecord[]
	readonly expectations: { readonly expected_seq?: number; readonly expected_state_seq?: number }
	readonly summary: StoredSummary | null
}

export interface TrimRequest {
	readonly kind: 'trim'
	readonly plan: PlanKey
	readonly before_seq: number
	readonly replacement: Replacement
}

export interface RemoveRequest {
	readonly kind: 'remove'
	readonly plan: PlanKey
}

export interface BeginRequest {
	readonly kind: 'begin'
	readonly plan: PlanKey
	readonly origin: Origin | null
	readonly state_seq: number
}

export interface RenameRequest {
	readonly kind: 'rename'
	readonly plan: PlanKey
	readonly to: PlanKey
	readonly summary: StoredSummary
}

export interface ProbeRequest {
	readonly kind: 'probe'
}

export interface ReadRequest {
	readonly kind: 'read'
	readonly plan: PlanKey
	readonly after: Position
	readonly limit: number
}

export interface HeadRequest {
	readonly kind: 'head'
	readonly plan: PlanKey
}

export interface ListRequest {
	readonly kind: 'list'
	readonly query: ListQuery
}

export interface UnfinishedRequest {
	readonly kind: 'unfinished'
}

export interface RetirableRequest {
	readonly kind: 'retirable'
	readonly query: RetirableQuery
}

export interface RecordsRequest {
	readonly kind: 'records'
	readonly plan: PlanKey
	readonly from_seq: number
	readonly limit: number
}

export interface CloseRequest {
	readonly kind: 'close'
}

export type WriteRequest = AppendRequest | TrimRequest | RemoveRequest | BeginRequest | RenameRequest | ProbeRequest
export type ReadingRequest = ReadRequest | HeadRequest | ListRequest | UnfinishedRequest | RetirableRequest | RecordsRequest
export type Request = WriteRequest | ReadingRequest | CloseRequest

/** A head with its summary still in JSON: text crosses between threads much faster than objects do. */
export interface HeadReply {
	readonly epoch: string
	readonly head_seq: number
	readonly state_seq: number
	readonly oldest_seq: number
	readonly fingerprint: string
	readonly summary: string | null
}

/** What the asking thread cannot know itself; it has the records. */
export interface AppendReply {
	/** Without the summary where it came with the append. */
	readonly head: HeadReply
	/** One a record. */
	readonly seqs: readonly number[]
	/** One a record; null when all records were known. */
	readonly fingerprints: readonly string[] | null
}

export interface PageReply {
	readonly verdict: Verdict
	readonly head: HeadReply | null
	readonly from_seq: number
	readonly from_cursor: FullCursor | null
	readonly base: string | null
	readonly events: readonly StoredEvent[]
}

/** What each kind of request is answered with. */
export interface Replies {
	readonly append: AppendReply
	readonly trim: null
	readonly remove: null
	readonly read: PageReply
	readonly head: HeadReply | null
	readonly list: PlanPage
	readonly unfinished: readonly PlanKey[]
	readonly retirable: readonly PlanKey[]
	readonly records: (Omit<RecordPage, 'head'> & { readonly head: HeadReply }) | null
	readonly begin: null
	readonly rename: null
	readonly probe: null
	readonly close: null
}

export interface Asked<Kind extends Request = Request> {
	readonly id: number
	readonly request: Kind
}

/** An answer, or the problem body of the error that is to be thrown in its place. */
export type Outcome = { readonly value: Replies[keyof Replies] } | { readonly problem: Problem }

export interface Answered {
	readonly id: number
	readonly outcome: Outcome
}

/** The thread's first message: no problem when the database is open. */
export type Opened = { readonly problem: Problem } | { readonly problem: null; readonly dropped: Dropped | null }
