import { EMPTY_FINGERPRINT, formatCursor, type PlanSummary, PlanstreamError, type Position } from '@planstream/shared'
import {
	type AddedEvent,
	canTrim,
	createEpoch,
	createMissingLogError,
	createTakenError,
	decideAppend,
	encodeEvent,
	getTenant,
} from './append.js'
import {
	type Appended,
	type AppendOptions,
	type ArtifactOwner,
	type Head,
	type ListQuery,
	type LogRecord,
	type LogStore,
	type Origin,
	PAGE_BYTES,
	type Page,
	type PlanKey,
	type PlanPage,
	planKey,
	type RecordPage,
	type Replacement,
	type RetirableQuery,
	resolvePosition,
	type StoredEvent,
} from './event-log.js'
import { compareNewestFirst, ListPage, parseQuery } from './listing.js'
import { createClosedError } from './storage-errors.js'

interface MemoryPlan {
	key: PlanKey
	head: Head
	/** Replaces the trimmed events; null before the first trim. */
	origin: Origin | null
	/** The retained events; the first one has `head.oldest_seq`. */
	readonly events: AddedEvent[]
	/** The same events by id. */
	readonly ids: Map<string, AddedEvent>
	/** Artifacts that the log names, each with the newest event that does. */
	readonly artifacts: Map<string, number>
}

/** Size of a large event, in characters; a probe needs room for it. */
const LARGE_EVENT = 65_536

/** Keeps logs in memory, for as long as the process runs. */
export class MemoryLog implements LogStore {
	readonly dropped = null
	readonly #plans = new Map<string, MemoryPlan>()
	readonly #released = new Map<string, ArtifactOwner>()
	readonly #maxCharacters: number
	#characters = 0
	#closed = false

	/** @param options.maxCharacters - limit on all event text, 1 GiB by default; an append beyond it rejects with `storage_full` */
	constructor({ maxCharacters = 1_073_741_824 }: { readonly maxCharacters?: number } = {}) {
		this.#maxCharacters = maxCharacters
	}

	async append(plan: PlanKey, records: readonly LogRecord[], options: AppendOptions = {}): Promise<Appended> {
		this.#checkOpen()
		const log = this.#plans.get(planKey(plan))
		const { end, results, added } = decideAppend(plan, log?.head ?? null, records, options, (event_id) => {
			const event = log?.ids.get(event_id)
			return event ? { seq: event.seq, sent_digest: event.record.sent_digest } : null
		})
		if (log && added.length === 0) return { head: log.head, results, events: [] }
		this.#characters = this.#assertRoom(countCharacters(added))
		const { oldest_seq, summary } = log?.head ?? { oldest_seq: 1, summary: null }
		const head = { ...end, oldest_seq, summary: options.summary ?? summary }
		const grown: MemoryPlan = log ?? { key: plan, head, origin: null, events: [], ids: new Map(), artifacts: new Map() }
		grown.head = head
		for (const event of added) {
			grown.events.push(event)
			grown.ids.set(event.record.event_id, event)
			for (const artifact_id of event.record.artifacts ?? []) grown.artifacts.set(artifact_id, event.seq)
		}
		this.#plans.set(planKey(plan), grown)
		return { head, results, events: added.map((event) => toStoredEvent(head.epoch, event)) }
	}

	async read(plan: PlanKey, after: Position, limit: number): Promise<Page> {
		this.#checkOpen()
		const log = this.#plans.get(planKey(plan))
		if (!log) {
			const { reset, from_seq } = resolvePosition(after, null)
			return { verdict: { reset, epoch: null }, head: null, from_seq, from_cursor: null, base: null, events: [] }
		}
		const { head, origin, events } = log
		const { epoch, head_seq, oldest_seq } = head
		const before = origin?.fingerprint ?? EMPTY_FINGERPRINT
		const fingerprintAt = (seq: number): string => events[seq - oldest_seq]?.fingerprint ?? before
		const facts = { epoch, head_seq, oldest_seq, trim_reason: origin?.reason ?? null, fingerprintAt }
		const { reset, from_seq } = resolvePosition(after, facts)
		const start = from_seq - oldest_seq
		return {
			verdict: { reset, epoch },
			head,
			from_seq,
			from_cursor: { epoch, seq: from_seq - 1, fingerprint: fingerprintAt(from_seq - 1) },
			base: reset === null ? null : (origin?.base ?? null),
			events: takePage(events, start, limit).map((event) => toStoredEvent(epoch, event)),
		}
	}

	async head(plan: PlanKey): Promise<Head | null> {
		this.#checkOpen()
		return this.#plans.get(planKey(plan))?.head ?? null
	}

	async trim(plan: PlanKey, before_seq: number, { base, reason, artifacts = [] }: Replacement): Promise<void> {
		this.#checkOpen()
		const log = this.#plans.get(planKey(plan))
		if (!log || !canTrim(plan, log.head, before_seq)) return
		const dropped = log.events.splice(0, before_seq - log.head.oldest_seq)
		this.#characters -= countCharacters(dropped)
		for (const { record } of dropped) log.ids.delete(record.event_id)
		const fingerprint = dropped.at(-1)?.fingerprint ?? EMPTY_FINGERPRINT
		log.head = { ...log.head, oldest_seq: before_seq }
		log.origin = { seq: before_seq - 1, fingerprint, base, reason }
		const kept = new Set(artifacts)
		const unnamed = [...log.artifacts].flatMap(([id, seq]) => (seq < before_seq && !kept.has(id) ? [id] : []))
		for (const artifact_id of unnamed) log.artifacts.delete(artifact_id)
		this.#release(plan, unnamed)
	}

	async remove(plan: PlanKey): Promise<void> {
		this.#checkOpen()
		const log = this.#plans.get(planKey(plan))
		if (!log) return
		this.#characters -= countCharacters(log.events)
		this.#plans.delete(planKey(plan))
		this.#release(plan, log.artifacts.keys())
	}

	async artifactOwners(artifact_ids: readonly string[]): Promise<readonly ArtifactOwner[]> {
		this.#checkOpen()
		const owners = new Map<string, ArtifactOwner>()
		for (const { key, artifacts } of this.#plans.values()) {
			for (const artifact_id of artifact_ids) {
				const owner = { artifact_id, tenant: getTenant(key) }
				if (artifacts.has(artifact_id)) owners.set(formatOwner(owner), owner)
			}
		}
		return [...owners.values()]
	}

	async releasedArtifacts(limit: number): Promise<readonly ArtifactOwner[]> {
		this.#checkOpen()
		return [...this.#released.values()].slice(0, limit)
	}

	async forgetReleased(artifacts: readonly ArtifactOwner[]): Promise<void> {
		this.#checkOpen()
		for (const owner of artifacts) this.#released.delete(formatOwner(owner))
	}

	async list(query: ListQuery): Promise<PlanPage> {
		this.#checkOpen()
		const { matches, after } = parseQuery(query)
		const summaries: PlanSummary[] = []
		for (const { key, head } of this.#plans.values()) {
			const { summary } = head
			if (key.tenant !== query.tenant || summary === null) continue
			if ((after === null || compareNewestFirst(after, summary) < 0) && matches(summary)) summaries.push(summary)
		}
		const page = new ListPage(query.limit)
		for (const summary of summaries.sort(compareNewestFirst)) {
			page.add(summary)
			if (page.isComplete) break
		}
		return page.toPage()
	}

	async unfinished(): Promise<readonly PlanKey[]> {
		this.#checkOpen()
		const running = ({ head }: MemoryPlan): boolean => head.summary?.owner === 'managed' && !head.summary.finished
		return [...this.#plans.values()].filter(running).map(({ key }) => key)
	}

	async retirable(query: RetirableQuery): Promise<readonly PlanKey[]> {
		this.#checkOpen()
		return [...this.#plans.values()]
			.filter(({ head }) => isRetirable(head, query))
			.slice(0, query.limit)
			.map(({ key }) => key)
	}

	async records(plan: PlanKey, from_seq: number, limit: number): Promise<RecordPage | null> {
		this.#checkOpen()
		const log = this.#plans.get(planKey(plan))
		if (!log) return null
		const { head, origin, events } = log
		const start = Math.max(from_seq - head.oldest_seq, 0)
		const records = events.slice(start, start + limit).map(({ record: { event_id, sent_digest, text }, seq, fingerprint }) => {
			return { seq, event_id, sent_digest, fingerprint, text }
		})
		return { head, origin: from_seq <= head.oldest_seq ? origin : null, records }
	}

	async begin(plan: PlanKey, origin: Origin | null, state_seq: number, artifacts: readonly string[] = []): Promise<void> {
		this.#checkOpen()
		if (this.#plans.has(planKey(plan))) throw createTakenError(plan)
		const { seq, fingerprint } = origin ?? { seq: 0, fingerprint: EMPTY_FINGERPRINT }
		const head = { epoch: createEpoch(), head_seq: seq, state_seq, oldest_seq: seq + 1, fingerprint, summary: null }
		const named = new Map(artifacts.map((artifact_id) => [artifact_id, seq]))
		this.#plans.set(planKey(plan), { key: plan, head, origin, events: [], ids: new Map(), artifacts: named })
	}

	async rename(plan: PlanKey, to: PlanKey, summary: PlanSummary): Promise<void> {
		this.#checkOpen()
		if (this.#plans.has(planKey(to))) throw createTakenError(to)
		const log = this.#plans.get(planKey(plan))
		if (!log) throw createMissingLogError(plan)
		this.#plans.delete(planKey(plan))
		this.#plans.set(planKey(to), log)
		log.key = to
		log.head = { ...log.head, summary }
	}

	async probe(): Promise<void> {
		this.#checkOpen()
		this.#assertRoom(LARGE_EVENT)
	}

	async assertPresent(): Promise<void> {
		this.#checkOpen()
	}

	async close(): Promise<void> {
		this.#closed = true
	}

	#release(plan: PlanKey, artifact_ids: Iterable<string>): void {
		for (const artifact_id of artifact_ids) {
			const owner = { artifact_id, tenant: getTenant(plan) }
			this.#released.set(formatOwner(owner), owner)
		}
	}

	#checkOpen(): void {
		if (this.#closed) throw createClosedError()
	}

	/** Returns the total once `characters` are added; throws `storage_full` when that exceeds the limit. */
	#assertRoom(characters: number): number {
		const wanted = this.#characters + characters
		if (wanted > this.#maxCharacters) {
			const message =
				`The in-memory log would hold ${wanted} characters of events; the limit is ${this.#maxCharacters}. ` +
				'Delete finished plans, raise the limit, or store the log in a file.'
			throw new PlanstreamError('storage_full', message, { wanted, limit: this.#maxCharacters })
		}
		return wanted
	}
}

function isRetirable({ summary, head_seq, oldest_seq }: Head, query: RetirableQuery): boolean {
	if (summary === null) return false
	if (query.kind === 'large') return summary.finished && head_seq - oldest_seq >= query.more_events_than
	const matches = query.kind === 'finished' ? summary.finished : summary.owner === 'external' && !summary.finished
	return matches && summary.updated_at < query.updated_before
}

function formatOwner({ artifact_id, tenant }: ArtifactOwner): string {
	return `${tenant}\n${artifact_id}`
}

function countCharacters(events: readonly AddedEvent[]): number {
	return events.reduce((sum, { record }) => sum + record.text.length, 0)
}

function takePage(events: readonly AddedEvent[], start: number, limit: number): readonly AddedEvent[] {
	let bytes = 0
	let end = start
	while (end < start + limit && end < events.length && bytes < PAGE_BYTES) {
		bytes += Buffer.byteLength(events[end]?.record.text ?? '')
		end += 1
	}
	return events.slice(start, end)
}

function toStoredEvent(epoch: string, { record, seq, fingerprint }: AddedEvent): StoredEvent {
	const cursor = formatCursor({ epoch, seq, fingerprint })
	return { seq, cursor, text: encodeEvent(record.text, seq, cursor) }
}
