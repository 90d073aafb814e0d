import { hash } from 'node:crypto'
import {
	type Actor,
	type CommandMark,
	type EventType,
	LARGE_EVENT_TYPES,
	type ParsedEvent,
	type PlanEvent,
	type PlanOwner,
	PlanstreamError,
	TRANSIENT_EVENT_TYPES,
} from '@planstream/shared'
import { v7 as uuidv7 } from 'uuid'
import type { Appended, AppendOptions, EventLog, LogRecord, PlanKey } from '../log/event-log.js'
import type { FoldCache, FoldedHead } from './fold-cache.js'
import { foldEvent, initialFold, listNamed, type PlanFold, summarise } from './plan-fold.js'
import { carryStateSize, ENDINGS, measureState, PLAN_ENDINGS, type PlanSizes } from './state-size.js'

/** Limits of the stored text of one event; see PROTOCOL.md section 7. */
const MAX_EVENT_BYTES = 64 * 1024
const MAX_LARGE_EVENT_BYTES = 1024 * 1024

/** An event to append: parsed by its schema, without a sequence number. */
export interface Draft {
	readonly event: ParsedEvent
	readonly actor: Actor
	/** The event as sent, which a repeated append is compared with. */
	readonly sent: unknown
	readonly event_id?: string
	readonly command?: CommandMark
}

/** The log record of a draft, and the event it becomes with a sequence number. */
export interface Encoded {
	readonly record: LogRecord
	readonly event: Omit<PlanEvent, 'seq' | 'cursor'>
}

/**
 * Fills in the fields that the producer left out, and encodes the stored text once for all readers.
 *
 * @throws PlanstreamError `too_large` when the text is over the limit of its type
 */
export function encode(draft: Draft, plan_id: string, now: string): Encoded {
	const { event_id, event_type, step_id, data, timestamp, attempt } = draft.event
	const event = {
		event_id: draft.event_id ?? event_id ?? uuidv7(),
		event_type,
		plan_id,
		step_id,
		data,
		timestamp: timestamp ?? now,
		// Undefined fields are left out of the text.
		attempt,
		actor: draft.actor,
		command: draft.command,
	}
	const text = JSON.stringify(event)
	assertSize(text, event)
	const sent_digest = hash('sha1', JSON.stringify(draft.sent), 'hex')
	const transient = TRANSIENT_EVENT_TYPES.has(event_type)
	return { record: { event_id: event.event_id, text, sent_digest, transient }, event }
}

/** Adds the artifacts that an event of a managed plan names. Those that an external event names are kept elsewhere. */
export function nameArtifacts({ record, event }: Encoded): LogRecord {
	const named = listNamed(event)
	return named.length === 0 ? record : { ...record, artifacts: named.map(({ artifact_id }) => artifact_id) }
}

function assertSize(text: string, event: { readonly event_id: string; readonly event_type: ParsedEvent['event_type'] }): void {
	const limit = LARGE_EVENT_TYPES.has(event.event_type) ? MAX_LARGE_EVENT_BYTES : MAX_EVENT_BYTES
	if (text.length * 3 <= limit) return
	const bytes = Buffer.byteLength(text)
	if (bytes <= limit) return
	const { event_id, event_type } = event
	const message = `An event of type ${event_type} has ${bytes} bytes; the limit is ${limit}. Store large content elsewhere and refer to it in the event.`
	throw new PlanstreamError('too_large', message, { event_id, event_type, bytes, limit })
}

const ATTEMPTS = 10
/** Maximum age of the summary of a plan whose steps report progress, in milliseconds: the list shows it. */
const SUMMARY_INTERVAL_MS = 5000

/** No log has this head, so an append succeeds only when all of its events are known, and never adds any. */
export const KNOWN_ONLY: AppendOptions = { expected_seq: Number.MAX_SAFE_INTEGER }

/** Decides the next events of a plan from its state; `fold` is null for a plan without a log. */
export type Decide = (fold: PlanFold | null) => readonly Draft[]

export interface CommitOptions {
	/** Owner of the plan if this append creates its log. */
	readonly owner: PlanOwner
	readonly expected_seq?: number
	/** Sizes that the plan may reach; events that end an attempt, a step or the plan may pass them by an eighth. @defaultValue none */
	readonly limits?: PlanSizes
}

export interface Committed {
	/** null when the decision was to append nothing. */
	readonly appended: Appended | null
	/** The fold after the decision. */
	readonly fold: PlanFold | null
}

/** The state including all appends under way. */
interface Tip {
	/** Its cursor is set once the append that made it has settled; no decision reads it before. */
	readonly fold: PlanFold | null
	readonly state_seq: number
	/** Bytes of the log. */
	readonly log_bytes: number
	/** From the cache, which may be stale: good enough for an append, which the log checks, but not for a refusal. */
	readonly remembered: boolean
}

/**
 * Appends decisions to the log of one plan. Decisions do not wait for each other: each sees the state that the appends under way will
 * produce. If one of these fails, the log refuses the decision (`expected_state_seq`), and it is made again from the log.
 */
export class PlanWriter {
	readonly #plan: PlanKey
	readonly #log: EventLog
	readonly #states: FoldCache
	readonly #clock: () => number
	#tip: Tip | null = null
	/** Number of tips that failed to come true. */
	#broken = 0
	#loading: Promise<void> | null = null
	#commits = 0
	/** Ids of the events under way, to recognise a repeated one before the log knows it. */
	readonly #idsUnderWay = new Set<string>()
	#summarisedAt = 0
	#lastAppend: Promise<unknown> = Promise.resolve()

	/** @param clock - Unix time in milliseconds */
	constructor(plan: PlanKey, log: EventLog, states: FoldCache, clock: () => number) {
		this.#plan = plan
		this.#log = log
		this.#states = states
		this.#clock = clock
		const recent = states.recent(plan)
		if (recent !== null) this.#tip = this.#toTip(recent, true)
	}

	/** Whether no commit is under way, so that the writer can be dropped. */
	get idle(): boolean {
		return this.#commits === 0
	}

	/**
	 * Decides and appends, and decides again when another writer was faster.
	 *
	 * @throws PlanstreamError errors of `decide`; `conflict`; `storage_unavailable` after ten rounds against other writers
	 */
	async commit(options: CommitOptions, decide: Decide): Promise<Committed> {
		this.#commits++
		try {
			for (let round = 0; round < ATTEMPTS; round++) {
				if (this.#tip === null) await this.#load()
				const tip: Tip | null = this.#tip
				const outcome = tip === null ? 'again' : await this.#try(tip, options, decide)
				if (outcome !== 'again') return outcome
			}
		} finally {
			this.#commits--
		}
		const message = `Other writers changed plan ${this.#plan.plan_id} ${ATTEMPTS} times in a row during this change. Try again.`
		throw new PlanstreamError('storage_unavailable', message, { retry_after_ms: 1000 })
	}

	#try(tip: Tip, options: CommitOptions, decide: Decide): Promise<Committed | 'again'> {
		let encoded: Encoded[]
		try {
			const now = new Date(this.#clock()).toISOString()
			encoded = decide(tip.fold).map((draft) => encode(draft, this.#plan.plan_id, now))
		} catch (refusal) {
			return this.#answer(tip, () => {
				throw refusal
			})
		}
		if (encoded.length === 0) return this.#answer(tip, () => ({ appended: null, fold: tip.fold }))
		const owner = tip.fold?.state.owner ?? options.owner
		const records = owner === 'managed' ? encoded.map(nameArtifacts) : encoded.map(({ record }) => record)
		if (records.some(({ event_id }) => this.#idsUnderWay.has(event_id))) return this.#repeat(tip, records)
		const next = advance(tip, encoded, this.#plan.plan_id, options.owner)
		const full = options.limits === undefined ? null : refuseOversize(this.#plan.plan_id, tip, next, encoded, options.limits)
		if (full !== null) {
			return this.#answer(tip, () => {
				throw full
			})
		}
		this.#tip = next
		const append = this.#append(tip, next, records, options)
		this.#lastAppend = append
		return append
	}

	/** Answers without an append, once the state behind the decision has come true. */
	async #answer(tip: Tip, answer: () => Committed): Promise<Committed | 'again'> {
		if (tip.remembered) this.#break()
		else if (await this.#waitForTip()) return answer()
		return 'again'
	}

	/** Appends records that are under way already a second time: by then the log knows them, or they are decided again. */
	async #repeat(tip: Tip, records: readonly LogRecord[]): Promise<Committed | 'again'> {
		try {
			return { appended: await this.#log.append(this.#plan, records, KNOWN_ONLY), fold: tip.fold }
		} catch (error) {
			if (!isConflict(error) || contradicts(error)) throw error
			return 'again'
		}
	}

	async #append(tip: Tip, next: Tip, records: readonly LogRecord[], options: CommitOptions): Promise<Committed | 'again'> {
		for (const { event_id } of records) this.#idsUnderWay.add(event_id)
		try {
			const appended = await this.#log.append(this.#plan, records, this.#buildOptions(tip, next, records, options))
			const { head, results, events } = appended
			const last = results.at(-1)
			const { fold } = next
			const cursor = events.at(-1)?.cursor
			// This state is not shared yet, so it is changed in place.
			if (fold !== null && cursor !== undefined) Object.assign(fold.state, { cursor })
			if (last?.duplicate === true || last?.seq !== fold?.state.seq) this.#break()
			else if (fold !== null && this.#tip === next) this.#states.remember(this.#plan, { fold, head, log_bytes: next.log_bytes })
			return { appended, fold }
		} catch (error) {
			this.#break()
			if (!isLostRace(error, options)) throw error
			return 'again'
		} finally {
			for (const { event_id } of records) this.#idsUnderWay.delete(event_id)
		}
	}

	#buildOptions(tip: Tip, next: Tip, records: readonly LogRecord[], options: CommitOptions): AppendOptions {
		// state_seq 0 does not tell a log without state changes from a missing one, so the head is compared instead.
		const state = tip.state_seq === 0 ? { expected_seq: tip.fold?.state.seq ?? 0 } : { expected_state_seq: tip.state_seq }
		const given = options.expected_seq === undefined ? {} : { expected_seq: options.expected_seq }
		const transient = records.every((record) => record.transient) && tip.fold !== null
		if (next.fold === null || (transient && !this.#isSummaryDue())) return { ...state, ...given }
		this.#summarisedAt = this.#clock()
		return { ...state, ...given, summary: summarise(next.fold.state, new Date(this.#summarisedAt).toISOString()) }
	}

	/** Whether a plan that only reports progress needs a new summary: for the list, and so that retention sees it is alive. */
	#isSummaryDue(): boolean {
		return this.#clock() - this.#summarisedAt >= SUMMARY_INTERVAL_MS
	}

	/** Waits for the appends this decision depends on. Returns false if any of them failed. */
	async #waitForTip(): Promise<boolean> {
		const broken = this.#broken
		await this.#waitForAppend()
		return this.#broken === broken
	}

	#waitForAppend(): Promise<unknown> {
		return this.#lastAppend.catch(() => undefined)
	}

	#break(): void {
		this.#tip = null
		this.#broken++
	}

	#toTip({ fold, head, log_bytes }: FoldedHead, remembered: boolean): Tip {
		this.#summarisedAt = head.summary === null ? 0 : Date.parse(head.summary.updated_at)
		return { fold, state_seq: head.state_seq, log_bytes, remembered }
	}

	/** Loads the state from the log, once for all waiting commits, and never while appends of a discarded state are under way. */
	#load(): Promise<void> {
		this.#loading ??= this.#waitForAppend()
			.then(() => this.#states.current(this.#plan))
			.then((found) => {
				this.#tip = found === null ? { fold: null, state_seq: 0, log_bytes: 0, remembered: false } : this.#toTip(found, false)
			})
			.finally(() => {
				this.#loading = null
			})
		return this.#loading
	}
}

/** Returns the tip after these events. */
function advance(tip: Tip, encoded: readonly Encoded[], plan_id: string, owner: PlanOwner): Tip {
	let fold = tip.fold ?? initialFold(plan_id, owner)
	let { state_seq, log_bytes } = tip
	for (const { record, event } of encoded) {
		const seq = fold.state.seq + 1
		const before = fold.state
		fold = foldEvent(fold, { ...event, seq, cursor: '' } as PlanEvent)
		carryStateSize(before, fold.state, event.step_id)
		log_bytes += Buffer.byteLength(record.text)
		if (!record.transient) state_seq = seq
	}
	return { fold, state_seq, log_bytes, remembered: false }
}

/** Returns the refusal of events that make a plan larger than it may be. */
function refuseOversize(
	plan_id: string,
	tip: Tip,
	next: Tip,
	encoded: readonly Encoded[],
	{ state_bytes, plan_bytes }: PlanSizes,
): PlanstreamError | null {
	const areAll = (types: ReadonlySet<EventType>) => encoded.every(({ event }) => types.has(event.event_type))
	if (areAll(PLAN_ENDINGS)) return null
	const allowance = areAll(ENDINGS) ? 1.125 : 1
	const after = next.fold === null ? 0 : measureState(next.fold.state)
	const sizes = [
		{
			limit: 'state_bytes',
			maximum: state_bytes,
			bytes: after,
			grows: () => after > (tip.fold === null ? 0 : measureState(tip.fold.state)),
			what: 'state',
		},
		{ limit: 'plan_bytes', maximum: plan_bytes, bytes: next.log_bytes, grows: () => true, what: 'log' },
	]
	for (const { limit, maximum, bytes, grows, what } of sizes) {
		if (bytes <= maximum * allowance || !grows()) continue
		const message = `The ${what} of plan ${plan_id} would have ${bytes} bytes; the limit is ${maximum}. End the plan and continue under a new plan id.`
		return new PlanstreamError('plan_full', message, { plan_id, limit, maximum, bytes })
	}
	return null
}

/** Whether an append was refused because another writer was faster, rather than for the request itself. */
function isLostRace(error: unknown, options: CommitOptions): boolean {
	if (!isConflict(error) || contradicts(error)) return false
	return options.expected_seq === undefined || error.facts.head_seq === options.expected_seq
}

function isConflict(error: unknown): error is PlanstreamError {
	return error instanceof PlanstreamError && error.code === 'conflict'
}

/** Whether the log holds different events under these ids, or only some of them. */
export function contradicts({ facts }: PlanstreamError): boolean {
	return 'event_id' in facts || 'duplicates' in facts
}
