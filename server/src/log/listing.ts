import { type Json, jsonBytes, PLAN_STATUSES, type PlanSummary, PlanstreamError } from '@planstream/shared'
import type { ListQuery, PlanPage } from './event-log.js'

/** A position in the list of plans: the last plan of the previous page. */
export interface ListPosition {
	readonly created_at: string
	readonly plan_id: string
}

/** A query parsed once, so that a scan only compares. */
export interface Filter {
	readonly matches: (summary: PlanSummary) => boolean
	/** null starts at the newest plan. */
	readonly after: ListPosition | null
	/** Compares with {@link toListColumns}, so that a store can skip most plans that do not match. */
	readonly prefilter: Prefilter
}

/** Texts that the columns of the same names must contain; an empty text matches every column. */
export interface Prefilter {
	readonly created_after: string
	readonly created_before: string | null
	/** Contains every requested status. */
	readonly statuses: string
	readonly label: string
	readonly text: string
}

/** Longer texts are not copied to a column: they are compared in the summary. */
const MAX_COLUMN = 512

/** Returns the columns that the list of plans is searched by; null where only the summary has the text. */
export function toListColumns({ status, labels, query }: PlanSummary) {
	const all = Object.entries(labels).map(encodeLabel).join('')
	return {
		status,
		labels: all.length > MAX_COLUMN ? null : all,
		query_text: query.length > MAX_COLUMN ? null : query.toLowerCase(),
	}
}

/** Encodes a label between line breaks, which JSON never contains, so that no label matches inside another one. */
function encodeLabel(label: readonly [name: string, value: string]): string {
	return `\n${JSON.stringify(label)}\n`
}

/** @throws `bad_request` for an invalid page token or time */
export function parseQuery(query: ListQuery): Filter {
	const after = query.created_after === undefined ? '' : parseTime('created_after', query.created_after)
	const before = query.created_before === undefined ? null : parseTime('created_before', query.created_before)
	const text = query.query?.toLowerCase() ?? ''
	const labels = Object.entries(query.labels ?? {})
	const statuses = query.status
	const [label] = labels
	return {
		prefilter: {
			created_after: after,
			created_before: before,
			statuses: (statuses ?? PLAN_STATUSES).join(' '),
			label: label === undefined ? '' : encodeLabel(label),
			text,
		},
		after: query.page === undefined ? null : parsePage(query.page),
		matches: (summary) =>
			(statuses === undefined || statuses.includes(summary.status)) &&
			labels.every(([name, value]) => Object.hasOwn(summary.labels, name) && summary.labels[name] === value) &&
			summary.query.toLowerCase().includes(text) &&
			summary.created_at >= after &&
			(before === null || summary.created_at < before),
	}
}

/** Orders plans newest first: by creation time, then by id. */
export function compareNewestFirst(a: ListPosition, b: ListPosition): number {
	if (a.created_at !== b.created_at) return a.created_at > b.created_at ? -1 : 1
	if (a.plan_id === b.plan_id) return 0
	return a.plan_id > b.plan_id ? -1 : 1
}

/** Characters of a query in the list of plans; the state of the plan has the whole text. */
const MAX_LISTED_QUERY = 256
/** Bytes of a page of the list of plans. */
const MAX_LIST_BYTES = 4_194_304

/** Collects the matches of one page. It ends with the limit of plans or of bytes, and always has room for one plan. */
export class ListPage {
	readonly #limit: number
	readonly #plans: PlanSummary[] = []
	#bytes = 0
	/** Whether a match beyond the limits has shown that there is another page. */
	#hasMore = false

	constructor(limit: number) {
		this.#limit = limit
	}

	get isComplete(): boolean {
		return this.#hasMore
	}

	/** Number of matches until the page is complete, unless their bytes complete it earlier. */
	get room(): number {
		return this.#limit + 1 - this.#plans.length
	}

	/** Adds a match. The first one without room completes the page. */
	add(summary: PlanSummary): void {
		if (this.#hasMore) return
		const listed = { ...summary, query: cutText(summary.query, MAX_LISTED_QUERY) }
		const bytes = jsonBytes(listed as unknown as Json)
		const isFull = this.#plans.length >= this.#limit || this.#bytes + bytes > MAX_LIST_BYTES
		this.#hasMore = isFull && this.#plans.length > 0
		if (this.#hasMore) return
		this.#plans.push(listed)
		this.#bytes += bytes
	}

	toPage(): PlanPage {
		const last = this.#plans.at(-1)
		return { plans: this.#plans, next_page: last && this.#hasMore ? formatPage(last) : null }
	}
}

/** Cuts a text without leaving half of a surrogate pair. */
function cutText(text: string, length: number): string {
	if (text.length <= length) return text
	const end = /[\ud800-\udbff]/.test(text.charAt(length - 1)) ? length - 1 : length
	// A slice would keep the whole text in memory.
	return Buffer.from(text.slice(0, end)).toString()
}

function formatPage({ created_at, plan_id }: ListPosition): string {
	return Buffer.from(JSON.stringify([created_at, plan_id])).toString('base64url')
}

function parsePage(token: string): ListPosition {
	const position = parseJson(Buffer.from(token, 'base64url').toString())
	if (Array.isArray(position) && position.length === 2) {
		const [created_at, plan_id]: unknown[] = position
		if (typeof created_at === 'string' && typeof plan_id === 'string') return { created_at, plan_id }
	}
	throw new PlanstreamError('bad_request', 'The page token is invalid. Send the next_page of the previous page.', {
		path: 'page',
	})
}

function parseJson(text: string): unknown {
	try {
		return JSON.parse(text)
	} catch {
		return null
	}
}

function parseTime(path: string, text: string): string {
	const time = new Date(text)
	if (!Number.isNaN(time.getTime())) return time.toISOString()
	throw new PlanstreamError(
		'bad_request',
		`${path} is "${text}", which is not a time. Use ISO 8601, such as 2026-01-31T12:00:00.000Z.`,
		{
			path,
		},
	)
}
