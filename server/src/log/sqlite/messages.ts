import type { FullCursor, Position, Problem } from '@planstream/shared'
import type { Replacement } from '../append.js'
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
} from '../event-log.js'
import type { AtRest } from './schema.js'

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

export interface CloseRequest {
	readonly kind: 'close'
}

export type WriteRequest = AppendRequest | TrimRequest | RemoveRequest | BeginRequest | RenameRequest | ProbeRequest
export type ReadingRequest = PageRequest | HeadRequest | ListRequest | UnfinishedRequest | RetirableRequest | RecordsRequest
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

export interface RequestEnvelope<Kind extends Request = Request> {
	readonly id: number
	readonly request: Kind
}

/** An answer, or the problem body of the error that is to be thrown in its place. */
export type Response = { readonly value: Replies[keyof Replies] } | { readonly problem: Problem }

export interface ResponseEnvelope {
	readonly id: number
	readonly outcome: Response
}

/** The thread's first message: no problem when the database is open. */
export type WorkerOpened = { readonly problem: Problem } | { readonly problem: null; readonly dropped: Dropped | null }

/**
 * Messages between the two threads, laid flat: copying an array of texts and numbers costs a quarter of copying objects of the same
 * content, and appends are most of what goes over. What is rare goes over as the object it is.
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
		for (const { event_id, text, sent_digest, transient } of records) cells.push(event_id, text, sent_digest, transient)
	}
	return cells
}

export function unpackRequests(cells: Cells): RequestEnvelope[] {
	const next = reader(cells)
	const batch: RequestEnvelope[] = []
	while (next.more()) {
		const id = next.number()
		batch.push({ id, request: next.number() === APPEND ? nextAppend(next) : (next.any() as Request) })
	}
	return batch
}

function nextAppend(next: Reader): AppendRequest {
	const plan = { tenant: next.text(), plan_id: next.text() }
	const expected_seq = next.optional<number>()
	const expected_state_seq = next.optional<number>()
	const summary = nextSummary(next)
	const records: LogRecord[] = []
	for (let count = next.number(); count > 0; count -= 1) {
		records.push({ event_id: next.text(), text: next.text(), sent_digest: next.text(), transient: next.any() === true })
	}
	const expectations = {
		...(expected_seq === undefined ? {} : { expected_seq }),
		...(expected_state_seq === undefined ? {} : { expected_state_seq }),
	}
	return { kind: 'append', plan, records, expectations, summary }
}

function nextSummary(next: Reader): AppendRequest['summary'] {
	if (next.any() !== true) return null
	const json = next.text()
	const created_at = next.text()
	const unfinished = next.any() as 0 | 1
	const at_rest = next.any() as AtRest | null
	const updated_at = next.text()
	const status = next.text()
	const labels = next.nullable()
	const query_text = next.nullable()
	return { json, created_at, unfinished, at_rest, updated_at, status, labels, query_text }
}

/** Of appends to one plan the summary goes over once: it is much longer than the rest of their answers. */
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
	const next = reader(cells)
	const batch: ResponseEnvelope[] = []
	let summary: string | null = null
	while (next.more()) {
		const id = next.number()
		if (next.number() !== APPEND) {
			batch.push({ id, outcome: next.any() as Response })
			continue
		}
		const value = nextAppendReply(next, summary)
		summary = value.head.summary
		batch.push({ id, outcome: { value } })
	}
	return batch
}

function nextAppendReply(next: Reader, before: string | null): AppendReply {
	const epoch = next.text()
	const head_seq = next.number()
	const state_seq = next.number()
	const oldest_seq = next.number()
	const fingerprint = next.text()
	const summary = next.optional<string | null>()
	const head = { epoch, head_seq, state_seq, oldest_seq, fingerprint, summary: summary === undefined ? before : summary }
	const count = next.number()
	const isNew = next.any() === true
	const seqs = Array.from({ length: count }, () => next.number())
	return { head, seqs, fingerprints: isNew ? Array.from({ length: count }, () => next.text()) : null }
}

function isAppendReply(value: object | null): value is AppendReply {
	return value !== null && 'seqs' in value
}

type Reader = ReturnType<typeof reader>

/** Both ends are this file, so a cell is what its place says. */
function reader(cells: Cells) {
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
