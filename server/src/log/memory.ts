import { EMPTY_FINGERPRINT, formatCursor, type PlanSummary, PlanstreamError, type Position } from '@planstream/shared'
import { type AddedEvent, decideAppend } from './append.js'
import { keyText } from './bells.js'
import type {
	Appended,
	AppendOptions,
	Head,
	ListQuery,
	LogRecord,
	LogStore,
	Page,
	PlanKey,
	PlanPage,
	StoredEvent,
} from './event-log.js'
import { encodeEvent } from './fingerprint.js'
import { compareNewestFirst, pageOf, parseQuery } from './listing.js'
import { closedError } from './storage-errors.js'
import { canTrim, type Replacement, type TrimReason } from './trim.js'
import { judge } from './verdict.js'

interface MemoryPlan {
	readonly key: PlanKey
	head: Head
	trim_reason: TrimReason | null
	/** The fingerprint of the event before the oldest retained one. */
	before: string
	/** The retained events; the first one has `head.oldest_seq`. */
	readonly events: AddedEvent[]
	/** The same events by their ids. */
	readonly ids: Map<string, AddedEvent>
}

/** Settings of {@link MemoryLog}. */
export interface MemoryLogOptions {
	/**
	 * Characters of event text kept in all; an append beyond it rejects with `storage_full`.
	 * @defaultValue 1 GiB
	 */
	readonly maxCharacters?: number
}

/** Logs that last as long as the process: for tests, and for those who ask for it. */
export class MemoryLog implements LogStore {
	readonly #plans = new Map<string, MemoryPlan>()
	readonly #maxCharacters: number
	#characters = 0
	#closed = false

	constructor({ maxCharacters = 1_073_741_824 }: MemoryLogOptions = {}) {
		this.#maxCharacters = maxCharacters
	}

	async append(plan: PlanKey, records: readonly LogRecord[], options: AppendOptions = {}): Promise<Appended> {
		this.#checkOpen()
		const log = this.#plans.get(keyText(plan))
		const { end, results, added } = decideAppend(plan, log?.head ?? null, records, options, (event_id) => {
			const event = log?.ids.get(event_id)
			return event ? { seq: event.seq, sent_digest: event.record.sent_digest } : null
		})
		if (log && added.length === 0) return { head: log.head, results, events: [] }
		this.#takeRoom(added)
		const { oldest_seq, summary, base } = log?.head ?? { oldest_seq: 1, summary: null, base: null }
		const head = { ...end, oldest_seq, base, summary: options.summary ?? summary }
		const grown: MemoryPlan = log ?? { key: plan, head, trim_reason: null, before: EMPTY_FINGERPRINT, events: [], ids: new Map() }
		grown.head = head
		for (const event of added) {
			grown.events.push(event)
			grown.ids.set(event.record.event_id, event)
		}
		this.#plans.set(keyText(plan), grown)
		return { head, results, events: added.map((event) => stored(head.epoch, event)) }
	}

	async read(plan: PlanKey, after: Position, limit: number): Promise<Page> {
		this.#checkOpen()
		const log = this.#plans.get(keyText(plan))
		if (!log) {
			const { reset, from_seq } = judge(after, null)
			return { verdict: { reset, epoch: null }, head: null, from_seq, from_cursor: null, events: [] }
		}
		const { head, trim_reason, events } = log
		const { epoch, head_seq, oldest_seq } = head
		const fingerprintAt = (seq: number): string => events[seq - oldest_seq]?.fingerprint ?? log.before
		const { reset, from_seq } = judge(after, { epoch, head_seq, oldest_seq, trim_reason, fingerprintAt })
		const start = from_seq - oldest_seq
		return {
			verdict: { reset, epoch },
			head,
			from_seq,
			from_cursor: { epoch, seq: from_seq - 1, fingerprint: fingerprintAt(from_seq - 1) },
			events: events.slice(start, start + limit).map((event) => stored(epoch, event)),
		}
	}

	async head(plan: PlanKey): Promise<Head | null> {
		this.#checkOpen()
		return this.#plans.get(keyText(plan))?.head ?? null
	}

	async trim(plan: PlanKey, before_seq: number, { base, reason }: Replacement): Promise<void> {
		this.#checkOpen()
		const log = this.#plans.get(keyText(plan))
		if (!log || !canTrim(plan, log.head, before_seq)) return
		const dropped = log.events.splice(0, before_seq - log.head.oldest_seq)
		this.#characters -= charactersOf(dropped)
		for (const { record } of dropped) log.ids.delete(record.event_id)
		log.before = dropped.at(-1)?.fingerprint ?? log.before
		log.head = { ...log.head, oldest_seq: before_seq, base }
		log.trim_reason = reason
	}

	async remove(plan: PlanKey): Promise<void> {
		this.#checkOpen()
		const log = this.#plans.get(keyText(plan))
		if (!log) return
		this.#characters -= charactersOf(log.events)
		this.#plans.delete(keyText(plan))
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
		return pageOf(summaries.sort(compareNewestFirst), query.limit)
	}

	async unfinished(): Promise<readonly PlanKey[]> {
		this.#checkOpen()
		const running = ({ head }: MemoryPlan): boolean => head.summary?.owner === 'managed' && !head.summary.finished
		return [...this.#plans.values()].filter(running).map(({ key }) => key)
	}

	async close(): Promise<void> {
		this.#closed = true
	}

	#checkOpen(): void {
		if (this.#closed) throw closedError()
	}

	#takeRoom(added: readonly AddedEvent[]): void {
		const wanted = this.#characters + charactersOf(added)
		if (wanted > this.#maxCharacters) {
			const message =
				`The log in memory would hold ${wanted} characters of events, its limit is ${this.#maxCharacters}; ` +
				'remove finished plans, raise the limit, or keep the log in a file.'
			throw new PlanstreamError('storage_full', message, { wanted, limit: this.#maxCharacters })
		}
		this.#characters = wanted
	}
}

function charactersOf(events: readonly AddedEvent[]): number {
	return events.reduce((sum, { record }) => sum + record.text.length, 0)
}

function stored(epoch: string, { record, seq, fingerprint }: AddedEvent): StoredEvent {
	const cursor = formatCursor({ epoch, seq, fingerprint })
	return { seq, cursor, text: encodeEvent(record.text, seq, cursor) }
}
