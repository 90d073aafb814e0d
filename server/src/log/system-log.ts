import { DEFAULT_TENANT, type Position, SYSTEM_PLAN_ID } from '@planstream/shared'
import type { Replacement } from './append.js'
import type {
	Appended,
	AppendOptions,
	Dropped,
	EventLog,
	Head,
	ListQuery,
	LogRecord,
	Origin,
	Page,
	PlanKey,
	PlanPage,
	RecordPage,
	RetirableQuery,
} from './event-log.js'
import { MemoryLog } from './memory.js'
import { TailLog } from './tail.js'

/** Where the server tells of itself: one log for the readers of every tenant. */
export const SYSTEM_PLAN: PlanKey = { tenant: DEFAULT_TENANT, plan_id: SYSTEM_PLAN_ID }

/**
 * The log of every plan, with the one of the live-only plan `system` beside it: that is kept in memory and gone with the process, so
 * that it can tell of a store that fails. It is in no list, is never trimmed by age, and can be neither copied nor removed.
 */
export class LiveLog implements EventLog {
	readonly dropped: Dropped | null
	readonly #stored: EventLog
	readonly #live = new TailLog(new MemoryLog())

	constructor(stored: EventLog) {
		this.#stored = stored
		this.dropped = stored.dropped
	}

	/** Those who wait for news of the server. */
	get liveWatchers(): number {
		return this.#live.metrics.watchers
	}

	append(plan: PlanKey, records: readonly LogRecord[], options?: AppendOptions): Promise<Appended> {
		return this.#isLive(plan) ? this.#live.append(SYSTEM_PLAN, records, options) : this.#stored.append(plan, records, options)
	}

	read(plan: PlanKey, after: Position, limit: number): Promise<Page> {
		return this.#isLive(plan) ? this.#live.read(SYSTEM_PLAN, after, limit) : this.#stored.read(plan, after, limit)
	}

	head(plan: PlanKey): Promise<Head | null> {
		return this.#isLive(plan) ? this.#live.head(SYSTEM_PLAN) : this.#stored.head(plan)
	}

	watch(target: PlanKey | { readonly tenant: string }, onGrow: () => void): Disposable {
		const live = 'plan_id' in target && this.#isLive(target)
		return live ? this.#live.watch(SYSTEM_PLAN, onGrow) : this.#stored.watch(target, onGrow)
	}

	trim(plan: PlanKey, before_seq: number, replacement: Replacement): Promise<void> {
		return this.#isLive(plan)
			? this.#live.trim(SYSTEM_PLAN, before_seq, replacement)
			: this.#stored.trim(plan, before_seq, replacement)
	}

	remove(plan: PlanKey): Promise<void> {
		return this.#stored.remove(plan)
	}

	list(query: ListQuery): Promise<PlanPage> {
		return this.#stored.list(query)
	}

	unfinished(): Promise<readonly PlanKey[]> {
		return this.#stored.unfinished()
	}

	retirable(query: RetirableQuery): Promise<readonly PlanKey[]> {
		return this.#stored.retirable(query)
	}

	records(plan: PlanKey, from_seq: number, limit: number): Promise<RecordPage | null> {
		return this.#stored.records(plan, from_seq, limit)
	}

	begin(plan: PlanKey, origin: Origin | null, state_seq: number): Promise<void> {
		return this.#stored.begin(plan, origin, state_seq)
	}

	rename(...renamed: Parameters<EventLog['rename']>): Promise<void> {
		return this.#stored.rename(...renamed)
	}

	probe(): Promise<void> {
		return this.#stored.probe()
	}

	close(): Promise<void> {
		return this.#stored.close()
	}

	#isLive({ plan_id }: PlanKey): boolean {
		return plan_id === SYSTEM_PLAN_ID
	}
}
