import {
	type ChangesOutput,
	type EventType,
	formatPosition,
	type ImportOutput,
	isFinished,
	type Json,
	type ListOutput,
	type PlanState,
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
import { type Archive, archivePlan, type KeptFiles, restorePlan } from './archive.js'
import { FoldCache, makeSnapshot, resultAt } from './fold-cache.js'
import { type EventHandler, type HandlerReport, Handlers } from './handlers.js'
import type { PlanFold } from './plan-fold.js'
import { assertOpenToProducers, assertPublishable, type PublishRequest } from './publish-rules.js'
import { PlanReader, type ReaderSource, type ReadOptions } from './reader.js'
import { eventOf, type Principal, type StreamItem } from './stream.js'
import { type ChangesRequest, planChanges, Signal, type SubscribeRequest, subscription } from './subscribe.js'
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
	/** Events at most. */
	readonly limit: number
	/** Aborts when nobody waits for an event any more; one that has aborted before asks for no wait. */
	readonly waiting: AbortSignal
}

export interface HistoryPage {
	readonly events: readonly StoredEvent[]
	readonly next_cursor: string
	readonly head_seq: number
	/** Whether the plan is done and the page reaches its end. */
	readonly finished: boolean
}

/**
 * Reads one page, and waits for it when there is nothing yet. `start` is the oldest event that is kept.
 *
 * @throws PlanstreamError `cursor_gone` when the events behind any other position are not to be had
 */
async function readPage(log: EventLog, plan: PlanKey, { after, limit, waiting }: PageRequest): Promise<HistoryPage> {
	const bell = new Signal()
	using _watch = log.watch(plan, () => bell.ring())
	let position = after
	for (;;) {
		const page = await log.read(plan, position, limit)
		if (page.verdict.reset !== null && position !== 'start') throw cursorGone(plan, page)
		const reached = pageOf(page)
		if (reached.events.length > 0 || reached.finished || waiting.aborted) return reached
		position = page.from_cursor ?? { seq: 0 }
		await bell.wait(waiting)
	}
}

function pageOf({ head, events, from_seq, from_cursor }: Page): HistoryPage {
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
	const sentence = `The events of plan ${plan_id} behind this position cannot be had (${verdict.reset}). Go on after ${resume_after}, or ask for the plan's state.`
	return new PlanstreamError('cursor_gone', sentence, { reason: verdict.reset, oldest_seq, resume_after })
}

export interface HubOptions {
	readonly log: EventLog
	/** Milliseconds since 1970; passed in so that tests own the clock. */
	readonly clock: () => number
	readonly onProblem: (sentence: string, error?: Error) => void
	/** Where it says how event handlers are. @defaultValue nobody is told */
	readonly health?: Health
}

export interface HubReport {
	readonly subscriptions: number
	readonly handlers: HandlerReport
	/** Plans whose state is kept, and about how many bytes that takes. */
	readonly states: { readonly plans: number; readonly bytes: number }
	/** Plans that something is being committed to. */
	readonly writers: number
}

/**
 * The middle of the house: everything that changes a plan is appended here, everything that watches one reads here.
 * It folds plans and knows their owners; order and durability are the log's.
 */
export class Hub {
	readonly #log: EventLog
	readonly #clock: () => number
	readonly #states: FoldCache
	readonly #handlers: Handlers
	/** What its readers read. */
	readonly #source: ReaderSource
	/** Of the plans that something is being committed to. */
	readonly #writers = new Map<string, PlanWriter>()
	#subscriptions = 0

	constructor({ log, clock, onProblem, health = new Health() }: HubOptions) {
		this.#log = log
		this.#clock = clock
		this.#states = new FoldCache(log)
		this.#handlers = new Handlers(onProblem, health)
		this.#source = { log, states: this.#states, clock, leave: () => void this.#subscriptions-- }
	}

	/**
	 * Adds events of a plan that is run elsewhere: all or nothing, durable when it resolves. The first publish to an unknown id makes the plan.
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
		const committing = this.#commit(plan, { owner: 'external', ...expected }, decide)
		const { appended } = await committing.catch((refusal) => this.#repeat(plan, drafts, refusal))
		const last = appended?.results.at(-1)
		if (appended == null || last === undefined) throw new TypeError('a publish of at least one event was appended')
		const cursor = appended.events.at(-1)?.cursor ?? (await this.cursorAt(plan, last.seq))
		return { epoch: appended.head.epoch, cursor, results: [...appended.results] }
	}

	/** Appends what `decide` makes of the plan's state; for plans this server runs. */
	commit(plan: PlanKey, decide: Decide): Promise<Committed> {
		return this.#commit(plan, { owner: 'managed' }, decide)
	}

	/**
	 * Adds what the server says of itself to the live-only plan `system`.
	 *
	 * @returns how many of its events are kept
	 */
	async tell(drafts: readonly Draft[]): Promise<number> {
		const { appended } = await this.#commit(SYSTEM_PLAN, { owner: 'external' }, () => drafts)
		return appended === null ? 0 : appended.head.head_seq - appended.head.oldest_seq + 1
	}

	/** A plan's events behind a position, then each new one. */
	async *subscribe(principal: Principal, plan_id: string, request: SubscribeRequest): AsyncGenerator<StreamItem, void, void> {
		const plan = { tenant: principal.tenant, plan_id }
		using reader = this.reader(plan, request)
		yield* subscription(reader, request.signal, (onGrow) => this.#log.watch(plan, onGrow))
	}

	/** A way through a plan's log, which counts as a subscription until it is disposed. */
	reader(plan: PlanKey, request: ReadOptions): PlanReader {
		this.#subscriptions++
		return new PlanReader(this.#source, plan, request)
	}

	/**
	 * One page of a plan's events; waits for the first one until the signal aborts, unless the plan is done.
	 *
	 * @throws PlanstreamError `cursor_gone` when the events behind the position are not to be had
	 */
	async page(principal: Principal, plan_id: string, request: PageRequest): Promise<HistoryPage> {
		return readPage(this.#log, { tenant: principal.tenant, plan_id }, request)
	}

	/** The state of a plan; null for one this principal does not have. */
	async state(principal: Principal, plan_id: string): Promise<PlanState | null> {
		return (await this.fold({ tenant: principal.tenant, plan_id }))?.state ?? null
	}

	async fold(plan: PlanKey): Promise<PlanFold | null> {
		return (await this.#states.current(plan))?.fold ?? null
	}

	async list(principal: Principal, query: Omit<ListQuery, 'tenant'>): Promise<ListOutput> {
		const { plans, next_page } = await this.#log.list({ ...query, tenant: principal.tenant })
		return { plans: [...plans], next_page }
	}

	/** The newest plans that match, then what changes among them, at most four times a second. */
	changes(
		{ tenant }: Principal,
		query: Omit<ListQuery, 'tenant'>,
		waiting: Omit<ChangesRequest, 'query'>,
	): AsyncGenerator<ChangesOutput, void, void> {
		return planChanges(this.#log, { ...waiting, query: { ...query, tenant } })
	}

	/** The cursor behind an event; the bare number of one that is no longer kept. */
	async cursorAt(plan: PlanKey, seq: number): Promise<string> {
		const page = await this.#log.read(plan, { seq: seq - 1 }, 1)
		const [stored] = page.events
		return stored?.seq === seq ? stored.cursor : String(seq)
	}

	/** The result that a `step_completed` or `plan_completed` event of a plan holds, also when it has been trimmed. */
	resultAt(plan: PlanKey, seq: number): Promise<Json> {
		return resultAt(this.#log, plan, seq)
	}

	/**
	 * Drops the events before a number and keeps what they came to, with every result that is named by its event, in their place. Sequence,
	 * epoch and fingerprints go on; readers behind the trim are told and go on from the oldest event with the state before it.
	 *
	 * @returns how many events were dropped
	 */
	async trim(plan: PlanKey, before_seq: number, reason: TrimReason = 'trimmed'): Promise<number> {
		const head = await this.#log.head(plan)
		if (head === null || before_seq <= head.oldest_seq) return 0
		const base = await makeSnapshot(this.#log, this.#states, plan, before_seq - 1)
		if (base === null) return 0
		await this.#log.trim(plan, before_seq, { base, reason })
		return before_seq - head.oldest_seq
	}

	/** The log of a plan and its files as lines of JSON. */
	archive(principal: Principal, plan_id: string, open: KeptFiles['open']): AsyncGenerator<string, void, void> {
		const plan = { tenant: principal.tenant, plan_id }
		const ids = async () => Object.keys((await this.fold(plan))?.artifacts ?? {})
		return archivePlan(this.#log, plan, { ids, open })
	}

	/** Makes a plan of the lines that {@link Hub.archive} gave, here or elsewhere. */
	restore(principal: Principal, archive: Archive): Promise<ImportOutput> {
		return restorePlan(this.#log, principal.tenant, archive, new Date(this.#clock()).toISOString())
	}

	/** Forgets a plan; who reads it is told, and a later plan of that id has nothing to do with it. */
	async remove(plan: PlanKey): Promise<void> {
		await this.#log.remove(plan)
		this.#states.forget(plan)
		this.#writers.delete(planKey(plan))
	}

	/** Calls `handler` with each event of a type that this process appends, after it is durable. */
	on<Type extends EventType>(event_type: Type, handler: EventHandler<Type>): Disposable {
		return this.#handlers.on(event_type, handler)
	}

	report(): HubReport {
		const handlers = this.#handlers.report()
		return { subscriptions: this.#subscriptions, handlers, states: this.#states.metrics, writers: this.#writers.size }
	}

	/** A publish that is refused may still be one that was accepted before: then it is answered as it was then. */
	async #repeat(plan: PlanKey, drafts: readonly Draft[], refusal: unknown): Promise<{ readonly appended: Appended }> {
		const states = refusal instanceof PlanstreamError && ['illegal_transition', 'plan_full'].includes(refusal.code)
		if (!states || drafts.some((draft) => draft.event.event_id === undefined)) throw refusal
		const records = drafts.map((draft) => encode(draft, plan.plan_id, '').record)
		try {
			// Succeeds for events that are all in the log already; an append of anything new is made to fail.
			return { appended: await this.#log.append(plan, records, KNOWN_ONLY) }
		} catch (error) {
			throw error instanceof PlanstreamError && contradicts(error) ? error : refusal
		}
	}

	/** All who write to a plan at once share its writer; afterwards what it knew is in the log and the cache of states. */
	async #commit(plan: PlanKey, options: CommitOptions, decide: Decide): Promise<Committed> {
		const key = planKey(plan)
		const writer = this.#writers.get(key) ?? new PlanWriter(plan, this.#log, this.#states, this.#clock)
		this.#writers.set(key, writer)
		try {
			const committed = await writer.commit(options, decide)
			if (this.#handlers.any)
				for (const stored of committed.appended?.events ?? []) this.#handlers.emit(eventOf(stored), plan.tenant)
			return committed
		} finally {
			if (writer.idle && this.#writers.get(key) === writer) this.#writers.delete(key)
		}
	}
}
