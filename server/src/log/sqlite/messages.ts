import type { FullCursor, Position, Problem } from '@planstream/shared'
import type {
	ArtifactOwner,
	Dropped,
	ListQuery,
	LogRecord,
	Origin,
	PlanKey,
	PlanPage,
	RecordPage,
	Replacement,
	RetirableQuery,
	StoredEvent,
	Verdict,
} from '../event-log.js'
import type { AtRest } from './schema.js'

/** A summary as it is stored: its JSON, and the columns that queries search. */
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

export interface BeginRequest {
	readonly kind: 'begin'
	readonly plan: PlanKey
	readonly origin: Origin | null
	readonly state_seq: number
	readonly artifacts: readonly string[]
}

export interface ForgetRequest {
	readonly kind: 'forget'
	readonly artifacts: readonly ArtifactOwner[]
}

export interface ReleasedRequest {
	readonly kind: 'released'
	readonly limit: number
}

export interface PresentRequest {
	readonly kind: 'present'
}

export interface OwnersRequest {
	readonly kind: 'owners'
	readonly artifact_ids: readonly string[]
}

export interface RenameRequest {
	readonly kind: 'rename'
	readonly plan: PlanKey
	readonly to: PlanKey
	readonly summary: StoredSummary
}

export interface PageRequest {
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

export type WriteRequest =
	| AppendRequest
	| TrimRequest
	| { readonly kind: 'remove'; readonly plan: PlanKey }
	| BeginRequest
	| RenameRequest
	| ForgetRequest
	| { readonly kind: 'probe' }
export type ReadingRequest =
	| PageRequest
	| HeadRequest
	| ListRequest
	| UnfinishedRequest
	| RetirableRequest
	| RecordsRequest
	| OwnersRequest
	| ReleasedRequest
	| PresentRequest
export type Request = WriteRequest | ReadingRequest | { readonly kind: 'close' }

/** A head with its summary still in JSON: threads exchange strings much faster than objects. */
export interface HeadReply {
	readonly epoch: string
	readonly head_seq: number
	readonly state_seq: number
	readonly oldest_seq: number
	readonly fingerprint: string
	readonly summary: string | null
}

/** The part of the answer that the requesting thread cannot derive from its records. */
export interface AppendReply {
	/** Has no summary if the append set one. */
	readonly head: HeadReply
	/** One per record. */
	readonly seqs: readonly number[]
	/** One per record; null when all were duplicates. */
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

/** The reply to each kind of request. */
export interface Replies {
	readonly append: AppendReply
	readonly trim: null
	readonly remove: null
	readonly read: PageReply
	readonly head: HeadReply | null
	readonly list: PlanPage
	readonly unfinished: readonly PlanKey[]
	readonly retirable: readonly PlanKey[]
	readonly owners: readonly ArtifactOwner[]
	readonly released: readonly ArtifactOwner[]
	readonly forget: null
	readonly records: (Omit<RecordPage, 'head'> & { readonly head: HeadReply }) | null
	readonly begin: null
	readonly rename: null
	readonly probe: null
	readonly present: null
	readonly close: null
}

export interface RequestEnvelope<Kind extends Request = Request> {
	readonly id: number
	readonly request: Kind
}

/** A reply, or the problem body of the error to throw instead. */
export type Response = { readonly value: Replies[keyof Replies] } | { readonly problem: Problem }

export interface ResponseEnvelope {
	readonly id: number
	readonly outcome: Response
}

/** The thread's first message; `problem` is null when the database is open. */
export type WorkerOpened = { readonly problem: Problem } | { readonly problem: null; readonly dropped: Dropped | null }

/**
 * A flat message between the two threads. Copying an array of strings and numbers costs a quarter of copying the same content as
 * objects, and most messages are appends. Rare requests are sent as objects.
 */
export type Cells = readonly unknown[]

const APPEND = 1
const OTHER = 0

export function packRequests(batch: readonly RequestEnvelope[]): Cells {
	const cells: unknown[] = []
	for (const { id, request } of batch) {
		if (request.kind !== 'append') {
			cells.push(id, OTHER, request)
			continue
		}
		const { plan, expectations, summary, records } = request
		cells.push(id, APPEND, plan.tenant, plan.plan_id, expectations.expected_seq, expectations.expected_state_seq)
		cells.push(summary !== null)
		if (summary !== null) {
			const { json, created_at, unfinished, at_rest, updated_at, status, labels, query_text } = summary
			cells.push(json, created_at, unfinished, at_rest, updated_at, status, labels, query_text)
		}
		cells.push(records.length)
		for (const { event_id, text, sent_digest, transient, artifacts } of records)
			cells.push(event_id, text, sent_digest, transient, artifacts)
	}
	return cells
}

export function unpackRequests(cells: Cells): RequestEnvelope[] {
	const reader = createReader(cells)
	const batch: RequestEnvelope[] = []
	while (reader.more()) {
		const id = reader.number()
		batch.push({ id, request: reader.number() === APPEND ? readAppend(reader) : (reader.any() as Request) })
	}
	return batch
}

function readAppend(reader: Reader): AppendRequest {
	const plan = { tenant: reader.text(), plan_id: reader.text() }
	const expected_seq = reader.optional<number>()
	const expected_state_seq = reader.optional<number>()
	const summary = readSummary(reader)
	const records: LogRecord[] = []
	for (let count = reader.number(); count > 0; count -= 1) {
		const record = { event_id: reader.text(), text: reader.text(), sent_digest: reader.text(), transient: reader.any() === true }
		records.push({ ...record, artifacts: reader.optional<readonly string[]>() })
	}
	const expectations = {
		...(expected_seq === undefined ? {} : { expected_seq }),
		...(expected_state_seq === undefined ? {} : { expected_state_seq }),
	}
	return { kind: 'append', plan, records, expectations, summary }
}

function readSummary(reader: Reader): AppendRequest['summary'] {
	if (reader.any() !== true) return null
	const json = reader.text()
	const created_at = reader.text()
	const unfinished = reader.any() as 0 | 1
	const at_rest = reader.any() as AtRest | null
	const updated_at = reader.text()
	const status = reader.text()
	const labels = reader.nullable()
	const query_text = reader.nullable()
	return { json, created_at, unfinished, at_rest, updated_at, status, labels, query_text }
}

/** Packs answers, sending a summary once for consecutive appends to a plan: it is much longer than the rest of an answer. */
export function packAnswers(batch: readonly ResponseEnvelope[]): Cells {
	const cells: unknown[] = []
	let summary: string | null = null
	for (const { id, outcome } of batch) {
		if (!('value' in outcome) || !isAppendReply(outcome.value)) {
			cells.push(id, OTHER, outcome)
			continue
		}
		const { head, seqs, fingerprints } = outcome.value
		cells.push(id, APPEND, head.epoch, head.head_seq, head.state_seq, head.oldest_seq, head.fingerprint)
		cells.push(head.summary === summary ? undefined : head.summary)
		summary = head.summary
		cells.push(seqs.length, fingerprints !== null, ...seqs, ...(fingerprints ?? []))
	}
	return cells
}

export function unpackAnswers(cells: Cells): ResponseEnvelope[] {
	const reader = createReader(cells)
	const batch: ResponseEnvelope[] = []
	let summary: string | null = null
	while (reader.more()) {
		const id = reader.number()
		if (reader.number() !== APPEND) {
			batch.push({ id, outcome: reader.any() as Response })
			continue
		}
		const value = readAppendReply(reader, summary)
		summary = value.head.summary
		batch.push({ id, outcome: { value } })
	}
	return batch
}

function readAppendReply(reader: Reader, before: string | null): AppendReply {
	const epoch = reader.text()
	const head_seq = reader.number()
	const state_seq = reader.number()
	const oldest_seq = reader.number()
	const fingerprint = reader.text()
	const summary = reader.optional<string | null>()
	const head = { epoch, head_seq, state_seq, oldest_seq, fingerprint, summary: summary === undefined ? before : summary }
	const count = reader.number()
	const isNew = reader.any() === true
	const seqs = Array.from({ length: count }, () => reader.number())
	return { head, seqs, fingerprints: isNew ? Array.from({ length: count }, () => reader.text()) : null }
}

function isAppendReply(value: object | null): value is AppendReply {
	return value !== null && 'seqs' in value
}

type Reader = ReturnType<typeof createReader>

/** Reads cells without checks: this file also packs them, so the position determines the type. */
function createReader(cells: Cells) {
	let index = 0
	const any = (): unknown => {
		const cell = cells[index]
		index += 1
		return cell
	}
	return {
		any,
		more: () => index < cells.length,
		text: () => any() as string,
		number: () => any() as number,
		nullable: () => any() as string | null,
		optional: <Value>() => any() as Value | undefined,
	}
}
