import { formatCursor, type PlanSummary, type Position } from '@planstream/shared'
import { encodeEvent } from '../append.js'
import { PAGE_BYTES, type PlanKey, resolvePosition, type StoredEvent, type StoredRecord } from '../event-log.js'
import { compareNewestFirst, type Filter, ListPage, type ListPosition, parseQuery } from '../listing.js'
import type {
	HeadRequest,
	ListRequest,
	OwnersRequest,
	PageReply,
	PageRequest,
	PresentRequest,
	ReadingRequest,
	RecordsRequest,
	ReleasedRequest,
	Replies,
	RetirableRequest,
	UnfinishedRequest,
} from './messages.js'
import type { LogRow } from './schema.js'
import type { SqliteStore } from './store.js'

type Reply = Replies[keyof Replies]

/** A read that runs a few rows at a time, so that appends never wait long. */
export interface ReadJob {
	/** Reads up to `rows` rows. `reply` is undefined until the read is complete. */
	step(rows: number): { readonly rows: number; readonly reply: Reply | undefined }
}

/** @throws `bad_request` for an invalid list query */
export function createReadJob(store: SqliteStore, request: ReadingRequest): ReadJob {
	if (request.kind === 'read') return new PageRead(store, request)
	if (request.kind === 'list') return new ListRead(store, request)
	if (request.kind === 'records') return new RecordRead(store, request)
	return { step: (rows) => ({ rows, reply: replyAtOnce(store, request) }) }
}

function replyAtOnce(
	store: SqliteStore,
	request: HeadRequest | UnfinishedRequest | RetirableRequest | OwnersRequest | ReleasedRequest | PresentRequest,
): Reply {
	if (request.kind === 'head') {
		const row = store.find(request.plan)
		return row && store.toHeadReply(row)
	}
	if (request.kind === 'present') {
		store.assertPresent()
		return null
	}
	if (request.kind === 'released') return store.artifacts.listReleased(request.limit)
	if (request.kind === 'owners') return store.artifacts.findOwners(request.artifact_ids)
	return request.kind === 'unfinished' ? store.listUnfinished() : store.listRetirable(request.query)
}

/**
 * Reads one page of a log, with the verdict and head of its first turn. When the log is trimmed or removed between two turns, the
 * page ends there, or starts over if it is still empty.
 */
class PageRead implements ReadJob {
	readonly #store: SqliteStore
	readonly #plan: PlanKey
	readonly #after: Position
	readonly #limit: number
	#begun: { readonly row: LogRow; readonly page: Omit<PageReply, 'events'>; readonly to_seq: number } | null = null
	readonly #events: StoredEvent[] = []
	#bytes = 0

	constructor(store: SqliteStore, { plan, after, limit }: PageRequest) {
		this.#store = store
		this.#plan = plan
		this.#after = after
		this.#limit = limit
	}

	step(rows: number): { rows: number; reply: PageReply | undefined } {
		const row = this.#store.find(this.#plan)
		if (!row && this.#events.length === 0) return { rows: 1, reply: this.#makeEmptyReply() }
		const begun = this.#begun && this.#isSameLog(this.#begun.row, row) ? this.#begun : null
		if (!begun && this.#events.length > 0) return { rows: 1, reply: this.#makeReply() }
		if (row && !begun) this.#begin(row)
		const wanted = countFitting(rows, this.#events.length, this.#bytes)
		const taken = this.#take(wanted)
		const complete = taken < wanted || this.#bytes >= PAGE_BYTES || this.#nextSeq > (this.#begun?.to_seq ?? 0)
		return { rows: Math.max(taken, 1), reply: complete ? this.#makeReply() : undefined }
	}

	#begin(row: LogRow): void {
		const { reset, from_seq } = this.#store.resolvePosition(this.#after, row)
		const from_cursor = this.#store.findCursor(row, from_seq - 1)
		const base = reset === null ? null : this.#store.findBase(row)
		const page = { verdict: { reset, epoch: row.epoch }, head: this.#store.toHeadReply(row), from_seq, from_cursor, base }
		this.#begun = { row, page, to_seq: Math.min(row.head_seq, from_seq + this.#limit - 1) }
	}

	#isSameLog(before: LogRow, now: LogRow | null): boolean {
		return now?.log_id === before.log_id && now.oldest_seq <= this.#nextSeq
	}

	#take(rows: number): number {
		if (!this.#begun) return 0
		const { row, to_seq } = this.#begun
		const found = this.#store.readEvents(row, this.#nextSeq, to_seq, rows)
		for (const { seq, fingerprint, text } of found) {
			if (this.#bytes >= PAGE_BYTES) break
			const cursor = formatCursor({ epoch: row.epoch, seq, fingerprint })
			this.#events.push({ seq, cursor, text: encodeEvent(text, seq, cursor) })
			this.#bytes += Buffer.byteLength(text)
		}
		return found.length
	}

	get #nextSeq(): number {
		return (this.#begun?.page.from_seq ?? 1) + this.#events.length
	}

	#makeReply(): PageReply {
		return this.#begun ? { ...this.#begun.page, events: this.#events } : this.#makeEmptyReply()
	}

	#makeEmptyReply(): PageReply {
		const { reset, from_seq } = resolvePosition(this.#after, null)
		return { verdict: { reset, epoch: null }, head: null, from_seq, from_cursor: null, base: null, events: [] }
	}
}

/** Reads one page of stored records. When the log is trimmed or removed between two turns, the page ends there. */
class RecordRead implements ReadJob {
	readonly #store: SqliteStore
	readonly #plan: PlanKey
	readonly #from_seq: number
	readonly #limit: number
	#begun: { readonly row: LogRow; readonly page: Omit<NonNullable<Replies['records']>, 'records'> } | null = null
	readonly #records: StoredRecord[] = []
	#bytes = 0

	constructor(store: SqliteStore, { plan, from_seq, limit }: RecordsRequest) {
		this.#store = store
		this.#plan = plan
		this.#from_seq = from_seq
		this.#limit = limit
	}

	step(rows: number): { rows: number; reply: Replies['records'] | undefined } {
		const row = this.#store.find(this.#plan)
		this.#begun ??= row && this.#begin(row)
		if (this.#begun === null) return { rows: 1, reply: null }
		const from_seq = (this.#records.at(-1)?.seq ?? this.#from_seq - 1) + 1
		const isSameLog = row?.log_id === this.#begun.row.log_id && (this.#records.length === 0 || row.oldest_seq <= from_seq)
		const wanted = countFitting(rows, this.#records.length, this.#bytes)
		const found = isSameLog ? this.#take(row, Math.max(from_seq, row.oldest_seq), wanted) : 0
		const complete = found < wanted || this.#bytes >= PAGE_BYTES
		return { rows: Math.max(found, 1), reply: complete ? { ...this.#begun.page, records: this.#records } : undefined }
	}

	#begin(row: LogRow) {
		const origin = this.#from_seq <= row.oldest_seq ? this.#store.findOrigin(row) : null
		return { row, page: { head: this.#store.toHeadReply(row), origin } }
	}

	#take(row: LogRow, from_seq: number, rows: number): number {
		const found = this.#store.readRecords(row, from_seq, Math.min(rows, this.#limit - this.#records.length))
		for (const record of found) {
			if (this.#bytes >= PAGE_BYTES) break
			this.#records.push(record)
			this.#bytes += Buffer.byteLength(record.text)
		}
		return found.length
	}
}

/** Estimates how many rows a page has room for, from those that it has, so that a turn reads little more than the page takes. */
function countFitting(rows: number, count: number, bytes: number): number {
	if (count === 0) return rows
	return Math.min(rows, Math.ceil(((PAGE_BYTES - bytes) * count) / bytes))
}

/** Plans whose columns can be compared in the time it takes to read one row. */
const COMPARED_PER_ROW = 16
/** Sorts before the newest plan, because '~' sorts after every digit. */
const NEWEST: ListPosition = { created_at: '~', plan_id: '' }

/** Reads one page of the list of plans by a scan from the newest. */
class ListRead implements ReadJob {
	readonly #store: SqliteStore
	readonly #tenant: string
	readonly #page: ListPage
	readonly #filter: Filter
	#after: ListPosition

	constructor(store: SqliteStore, { query }: ListRequest) {
		this.#store = store
		this.#tenant = query.tenant
		this.#page = new ListPage(query.limit)
		this.#filter = parseQuery(query)
		const { after, prefilter } = this.#filter
		const newest = prefilter.created_before === null ? NEWEST : { created_at: prefilter.created_before, plan_id: '' }
		this.#after = after !== null && compareNewestFirst(after, newest) > 0 ? after : newest
	}

	step(rows: number): { rows: number; reply: Replies['list'] | undefined } {
		const { prefilter, matches } = this.#filter
		const last = { created_at: prefilter.created_after, plan_id: '' }
		const end = this.#store.findListEnd(this.#tenant, prefilter, this.#after, rows * COMPARED_PER_ROW)
		const page = this.#page
		const room = Math.min(page.room, rows)
		const found = this.#store.listSummaries(this.#tenant, prefilter, this.#after, end ?? last, room)
		for (const { summary } of found) {
			const parsed = JSON.parse(summary) as PlanSummary
			if (matches(parsed)) page.add(parsed)
		}
		const isCut = found.length === room
		this.#after = (isCut ? found.at(-1) : end) ?? last
		const complete = (end === null && !isCut) || page.isComplete
		return { rows, reply: complete ? page.toPage() : undefined }
	}
}
