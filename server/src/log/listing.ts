import { PLAN_STATUSES, type PlanSummary, PlanstreamError } from '@planstream/shared'
import type { ListQuery, PlanPage } from './event-log.js'

/** A place in the list of plans: the last one that was shown. */
export interface ListPosition {
	readonly created_at: string
	readonly plan_id: string
}

/** A query with its texts made comparable, so that a scan parses nothing twice. */
export interface Filter {
	readonly matches: (summary: PlanSummary) => boolean
	/** null: from the newest plan on. */
	readonly after: ListPosition | null
	/** What a store can compare with {@link listedBy} to leave out most of what does not match. */
	readonly sieve: Prefilter
}

/** Texts of which each is to be found in the column of its name; an empty one always is. */
export interface Prefilter {
	readonly created_after: string
	readonly created_before: string | null
	/** Holds every status that is asked for. */
	readonly statuses: string
	readonly label: string
	readonly text: string
}

/** Longer texts stand in no column: they are looked at in the summary. */
const MAX_COLUMN = 512

/** What the list of plans is searched by, as columns; null where only the summary knows. */
export function listedBy({ status, labels, query }: PlanSummary) {
	const all = Object.entries(labels).map(labelText).join('')
	return {
		status,
		labels: all.length > MAX_COLUMN ? null : all,
		query_text: query.length > MAX_COLUMN ? null : query.toLowerCase(),
	}
}

/** JSON holds no line break, so a label is never found inside another one. */
function labelText(label: readonly [name: string, value: string]): string {
	return `\n${JSON.stringify(label)}\n`
}

/** @throws `bad_request` for a page token or a time that is none */
export function parseQuery(query: ListQuery): Filter {
	const after = query.created_after === undefined ? '' : parseTime('created_after', query.created_after)
	const before = query.created_before === undefined ? null : parseTime('created_before', query.created_before)
	const text = query.query?.toLowerCase() ?? ''
	const labels = Object.entries(query.labels ?? {})
	const statuses = query.status
	const [label] = labels
	return {
		sieve: {
			created_after: after,
			created_before: before,
			statuses: (statuses ?? PLAN_STATUSES).join(' '),
			label: label === undefined ? '' : labelText(label),
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

/** Newest first: by creation time, then by id. */
export function compareNewestFirst(a: ListPosition, b: ListPosition): number {
	if (a.created_at !== b.created_at) return a.created_at > b.created_at ? -1 : 1
	if (a.plan_id === b.plan_id) return 0
	return a.plan_id > b.plan_id ? -1 : 1
}

/** A page of what matched, given one more than the page holds when there is more. */
export function pageOf(matched: readonly PlanSummary[], limit: number): PlanPage {
	const plans = matched.slice(0, limit)
	const last = plans.at(-1)
	return { plans, next_page: last && matched.length > limit ? formatPage(last) : null }
}

function formatPage({ created_at, plan_id }: ListPosition): string {
	return Buffer.from(JSON.stringify([created_at, plan_id])).toString('base64url')
}

function parsePage(token: string): ListPosition {
	const place = parseJson(Buffer.from(token, 'base64url').toString())
	if (Array.isArray(place) && place.length === 2) {
		const [created_at, plan_id]: unknown[] = place
		if (typeof created_at === 'string' && typeof plan_id === 'string') return { created_at, plan_id }
	}
	throw new PlanstreamError('bad_request', 'The page token was not made by this server; send next_page of the page before.', {
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
	throw new PlanstreamError('bad_request', `${path} is "${text}"; give a time in ISO 8601, such as 2026-01-31T12:00:00.000Z.`, {
		path,
	})
}
