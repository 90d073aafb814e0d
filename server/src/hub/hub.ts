import {
	type ChangesOutput,
	type EventType,
	formatPosition,
	type ImportOutput,
	isFinished,
	type Json,
	type ListOutput,
	type PlanState,
	type PlanSummary,
	PlanstreamError,
	type Position,
	type PublishOutput,
} from '@planstream/shared'
import {
	type Appended,
	type EventLog,
	type ListQuery,
	type Page,
	type PlanKey,
	planKey,
	type StoredEvent,
	type TrimReason,
} from '../log/event-log.js'
import { SYSTEM_PLAN } from '../log/tail.js'
import { Health } from '../ops/health.js'
import { Limits } from '../ops/limits.js'
import { type Archive, archivePlan, type ExportSource, restorePlan } from './archive.js'
import { FoldCache, makeSnapshot, resultAt } from './fold-cache.js'
import { type EventHandler, type HandlerReport, Handlers } from './handlers.js'
import type { PlanFold } from './plan-fold.js'
import type { Principal } from './principal.js'
import { assertOpenToProducers, assertPublishable, type PublishRequest } from './publish-rules.js'
import { PlanReader, type ReaderSource, type ReadOptions, type Reserve } from './reader.js'
import type { PlanSizes } from './state-size.js'
import { parseEvent, type StreamItem } from './stream.js'
import { type ChangesRequest, Signal, type SubscribeRequest, streamItems, watchPlans } from './subscribe.js'
import {
	type CommitOptions,
	type Committed,
	contradicts,
	type Decide,
	type Draft,
	encode,
	KNOWN_ONLY,
	PlanWriter,
} from './writer.js'

export interface PageRequest {
	readonly after: Position
	/** Maximum number of events. */
	readonly limit: number
	/** Aborts to stop waiting for an event; pass an aborted signal for no wait. */
	readonly waiting: AbortSignal
}

export interface HistoryPage {
	readonly events: readonly StoredEvent[]
	readonly next_cursor: string
	readonly head_seq: number
	/** Whether the plan is finished and the page reaches its end. */
	readonly finished: boolean
}

/**
 * Reads one page, and waits while it is empty. `start` is the oldest retained event.
 *
 * @throws PlanstreamError `cursor_gone` when the events after any other position are no longer available
 */
async function readPage(log: EventLog, plan: PlanKey, { after, limit, waiting }: PageRequest): Promise<HistoryPage> {
	const growth = new Signal()
	using _watch = log.watch(plan, () => growth.ring())
	let position = after
	for (;;) {
		const page = await log.read(plan, position, limit)
		if (page.verdict.reset !== null && position !== 'start') throw cursorGone(plan, page)
		const found = toHistoryPage(page)
		if (found.events.length > 0 || found.finished || waiting.aborted) return found
		position = page.from_cursor ?? { seq: 0 }
		await growth.wait(waiting)
	}
}

function toHistoryPage({ head, events, from_seq, from_cursor }: Page): HistoryPage {
	const next_cursor = events.at(-1)?.cursor ?? (from_cursor === null ? '0' : formatPosition(from_cursor))
	if (head === null) return { events, next_cursor, head_seq: 0, finished: false }
	const atHead = from_seq + events.length > head.head_seq
	return {
		events,
		next_cursor,
		head_seq: head.head_seq,
		finished: atHead && head.summary !== null && isFinished(head.summary.status),
	}
}

function cursorGone({ plan_id }: PlanKey, { verdict, head, from_cursor }: Page): PlanstreamError {
	const resume_after = from_cursor === null ? '0' : formatPosition(from_cursor)
	const oldest_seq = head?.oldest_seq ?? 1
	const message = `Events of plan ${plan_id} after this cursor are no longer available (${verdict.reset}). Continue after ${resume_after}, or fetch the plan's state.`
	return new PlanstreamError('cursor_gone', message, { reason: verdict.reset, oldest_seq, resume_after })
}

export interface HubOptions {
	readonly log: EventLog
	/** Unix time in milliseconds. */
	readonly clock: () => number
	readonly onProblem: (message: string, error?: Error) => void
	/** Receives the health of the event handlers. @defaultValue a private one */
	readonly health?: Health
	/** @defaultValue the documented limits */
	readonly limits?: Limits
	/** Waits until the state of a plan may be sent to a stream. @defaultValue at once */
	readonly reserve?: Reserve
}

const NOTHING: Disposable = { [Symbol.dispose]: () => undefined }
const takeNothing: Reserve = () => Promise.resolve(NOTHING)

export interface HubReport {
	readonly subscriptions: number
	readonly handlers: HandlerReport
	/** Plans in the fold cache, and their estimated bytes. */
	readonly states: { readonly plans: number; readonly bytes: number }
	/** Plans with a commit under way. */
	readonly writers: number
}

/**
 * Connects producers and readers of plans: every change of a plan is appended here, and every subscription reads here.
 * It folds plans and checks who owns them; the log guarantees order and durability.
 */
export class Hub {
	readonly #log: EventLog
	readonly #clock: () => number
	readonly #limits: Limits
	readonly #states: FoldCache
	readonly #handlers: Handlers
	readonly #source: ReaderSource
	/** Writers of the plans with a commit under way. */
	readonly #writers = new Map<string, PlanWriter>()
	#subscriptions = 0

	constructor({ log, clock, onProblem, health = new Health(), limits = new Limits(), reserve = takeNothing }: HubOptions) {
		this.#log = log
		this.#limits = limits
		this.#clock = clock
		this.#states = new FoldCache(log, () => limits.server)
		this.#handlers = new Handlers(onProblem, health)
		this.#source = { log, states: this.#states, clock, reserve, leave: () => void this.#subscriptions-- }
	}

	/**
	 * Appends events of an external plan: all or nothing, durable when it resolves. The first publish to an unknown id creates the plan.
	 *
	 * @throws PlanstreamError `plan_managed`, `illegal_transition`, `conflict`, `plan_full`, `too_large`, `invalid_event`, `storage_full`, `storage_unavailable`
	 */
	async publish(principal: Principal, request: PublishRequest): Promise<PublishOutput> {
		const plan = { tenant: principal.tenant, plan_id: request.plan_id }
		const drafts = request.events.map((event, index) => ({ event, actor: principal.actor, sent: request.sent[index] }))
		assertPublishable(request)
		const expected = request.expected_seq === undefined ? {} : { expected_seq: request.expected_seq }
		const decide: Decide = (fold) => {
			assertOpenToProducers(fold, request)
			return drafts
		}
		const limits = this.#limits.forTenant(plan.tenant)
		const committing = this.#commit(plan, { owner: 'external', ...expected, limits }, decide)
		const { appended } = await committing.catch((refusal) => this.#answerRepeated(plan, drafts, refusal))
		const last = appended?.results.at(-1)
		if (appended == null || last === undefined)
			throw new TypeError('A publish appended no events, although its schema asks for at least one.')
		const cursor = appended.events.at(-1)?.cursor ?? (await this.cursorAt(plan, last.seq))
		return { epoch: appended.head.epoch, cursor, results: [...appended.results] }
	}

	/**
	 * Appends the events that `decide` returns for the plan's state; for plans that this server runs.
	 *
	 * @param isLimited - whether to refuse what makes the plan larger than it may be; false for changes that bring it to its end
	 */
	commit(plan: PlanKey, decide: Decide, isLimited = false): Promise<Committed> {
		const limits = !isLimited ? {} : { limits: this.#limits.forTenant(plan.tenant) }
		return this.#commit(plan, { owner: 'managed', ...limits }, decide)
	}

	/**
	 * Appends events about the server to the live-only plan `system`.
	 *
	 * @returns the number of its retained events
	 */
	async tell(drafts: readonly Draft[]): Promise<number> {
		const { appended } = await this.#commit(SYSTEM_PLAN, { owner: 'external' }, () => drafts)
		return appended === null ? 0 : appended.head.head_seq - appended.head.oldest_seq + 1
	}

	/** Yields a plan's events after a position, then each new one. */
	async *subscribe(principal: Principal, plan_id: string, request: SubscribeRequest): AsyncGenerator<StreamItem, void, void> {
		const plan = { tenant: principal.tenant, plan_id }
		using reader = this.reader(plan, request)
		yield* streamItems(reader, request.signal, (onGrow) => this.#log.watch(plan, onGrow))
	}

	/** Creates a reader of a plan's log, which counts as a subscription until it is disposed. */
	reader(plan: PlanKey, request: ReadOptions): PlanReader {
		this.#subscriptions++
		return new PlanReader(this.#source, plan, request)
	}

	/**
	 * Reads one page of a plan's events, and waits for the first one until the signal aborts, unless the plan is finished.
	 *
	 * @throws PlanstreamError `cursor_gone` when the events after the position are no longer available
	 */
	async page(principal: Principal, plan_id: string, request: PageRequest): Promise<HistoryPage> {
		return readPage(this.#log, { tenant: principal.tenant, plan_id }, request)
	}

	/** Returns the state of a plan; null for one that the principal does not have. */
	async state(principal: Principal, plan_id: string): Promise<PlanState | null> {
		return (await this.fold({ tenant: principal.tenant, plan_id }))?.state ?? null
	}

	/** Returns what the list of plans says about a plan; null for an unknown one. */
	async summary(plan: PlanKey): Promise<Pick<PlanSummary, 'owner' | 'status'> | null> {
		const head = await this.#log.head(plan)
		if (head === null) return null
		return head.summary ?? { owner: 'external', status: 'pending' }
	}

	async fold(plan: PlanKey): Promise<PlanFold | null> {
		return (await this.#states.current(plan))?.fold ?? null
	}

	/** Estimates the bytes of a plan's state and of its log, as far as they are known without reading it. */
	estimate(plan: PlanKey): PlanSizes {
		return this.#states.estimate(plan)
	}

	async list(principal: Principal, query: Omit<ListQuery, 'tenant'>): Promise<ListOutput> {
		const { plans, next_page } = await this.#log.list({ ...query, tenant: principal.tenant })
		return { plans: [...plans], next_page }
	}

	/** Yields the newest plans that match, then the changes among them, at most four times a second. */
	changes(
		{ tenant }: Principal,
		query: Omit<ListQuery, 'tenant'>,
		waiting: Omit<ChangesRequest, 'query'>,
	): AsyncGenerator<ChangesOutput, void, void> {
		return watchPlans(this.#log, { ...waiting, query: { ...query, tenant } })
	}

	/** Returns the cursor of an event; the bare sequence number once the event was trimmed. */
	async cursorAt(plan: PlanKey, seq: number): Promise<string> {
		const page = await this.#log.read(plan, { seq: seq - 1 }, 1)
		const [stored] = page.events
		return stored?.seq === seq ? stored.cursor : String(seq)
	}

	/** Reads the result in a `step_completed` or `plan_completed` event, even after the event was trimmed. */
	resultAt(plan: PlanKey, seq: number): Promise<Json> {
		return resultAt(this.#log, plan, seq)
	}

	/**
	 * Replaces the events before a sequence number with a snapshot of the state and of every result that the state refers to. Sequence, epoch
	 * and fingerprints continue; a reader behind the trim gets a reset and continues at the oldest event with the state before it.
	 *
	 * @returns the number of dropped events
	 */
	async trim(plan: PlanKey, before_seq: number, reason: TrimReason = 'trimmed'): Promise<number> {
		const head = await this.#log.head(plan)
		if (head === null || before_seq <= head.oldest_seq) return 0
		const snapshot = await makeSnapshot(this.#log, this.#states, plan, before_seq - 1)
		if (snapshot === null) return 0
		await this.#log.trim(plan, before_seq, { ...snapshot, reason })
		// The snapshot names fewer artifacts than the cached fold.
		this.#states.forget(plan)
		return before_seq - head.oldest_seq
	}

	/** Exports the log and the artifacts of a plan as lines of JSON, signed with the key. */
	archive(principal: Principal, plan_id: string, source: Omit<ExportSource, 'ids'>): AsyncGenerator<string, void, void> {
		const plan = { tenant: principal.tenant, plan_id }
		const ids = async (seq: number) => Object.keys((await this.#states.foldAt(plan, seq))?.artifacts ?? {})
		return archivePlan(this.#log, plan, { ...source, ids })
	}

	/** Imports a plan that {@link Hub.archive} has exported, on this server or another. */
	restore({ tenant, actor }: Principal, archive: Archive): Promise<ImportOutput> {
		return restorePlan(this.#log, archive, { tenant, actor, now: new Date(this.#clock()).toISOString() })
	}

	/** Deletes a plan. Its readers get an `end` frame, and a later plan with this id is unrelated. */
	async remove(plan: PlanKey): Promise<void> {
		await this.#log.remove(plan)
		this.#states.forget(plan)
		this.#writers.delete(planKey(plan))
	}

	/** Registers a handler for the events of a type that this process appends. Disposing the result removes it. */
	on<Type extends EventType>(event_type: Type, handler: EventHandler<Type>): Disposable {
		return this.#handlers.on(event_type, handler)
	}

	report(): HubReport {
		const handlers = this.#handlers.report()
		return { subscriptions: this.#subscriptions, handlers, states: this.#states.metrics, writers: this.#writers.size }
	}

	/** Answers a refused publish as before when the same events were accepted earlier. */
	async #answerRepeated(plan: PlanKey, drafts: readonly Draft[], refusal: unknown): Promise<{ readonly appended: Appended }> {
		const mayBeRepeated = refusal instanceof PlanstreamError && ['illegal_transition', 'plan_full'].includes(refusal.code)
		if (!mayBeRepeated || drafts.some((draft) => draft.event.event_id === undefined)) throw refusal
		const records = drafts.map((draft) => encode(draft, plan.plan_id, '').record)
		try {
			// Succeeds only when the log has all of these events already.
			return { appended: await this.#log.append(plan, records, KNOWN_ONLY) }
		} catch (error) {
			throw error instanceof PlanstreamError && contradicts(error) ? error : refusal
		}
	}

	/** Concurrent commits to a plan share its writer, which is dropped after the last one: the log and the cache have all it knows. */
	async #commit(plan: PlanKey, options: CommitOptions, decide: Decide): Promise<Committed> {
		const key = planKey(plan)
		const writer = this.#writers.get(key) ?? new PlanWriter(plan, this.#log, this.#states, this.#clock)
		this.#writers.set(key, writer)
		try {
			const committed = await writer.commit(options, decide)
			if (this.#handlers.any)
				for (const stored of committed.appended?.events ?? []) this.#handlers.emit(parseEvent(stored), plan.tenant)
			return committed
		} finally {
			if (writer.idle && this.#writers.get(key) === writer) this.#writers.delete(key)
		}
	}
}
