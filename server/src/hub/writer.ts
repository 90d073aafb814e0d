import { hash } from 'node:crypto'
import {
	type Actor,
	type CommandMark,
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
import { foldEvent, initialFold, type PlanFold, summarise } from './plan-fold.js'

/** Limits of one event's stored text; see PROTOCOL.md section 7. */
const MAX_EVENT_BYTES = 64 * 1024
const MAX_LARGE_EVENT_BYTES = 1024 * 1024

/** An event on its way into the log: checked by its schema, not yet given a place. */
export interface Draft {
	readonly event: ParsedEvent
	readonly actor: Actor
	/** The event as its producer sent it, which is what "the same event again" compares. */
	readonly sent: unknown
	readonly event_id?: string
	readonly command?: CommandMark
}

/** The record the log keeps of a draft, and the event it will be once it has a sequence number. */
export interface Encoded {
	readonly record: LogRecord
	readonly event: Omit<PlanEvent, 'seq' | 'cursor'>
}

/**
 * Fills in what the producer left open and makes the stored text, once for every reader.
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
		// What is undefined is not in the text.
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

function assertSize(text: string, event: { readonly event_id: string; readonly event_type: ParsedEvent['event_type'] }): void {
	const limit = LARGE_EVENT_TYPES.has(event.event_type) ? MAX_LARGE_EVENT_BYTES : MAX_EVENT_BYTES
	if (text.length * 3 <= limit) return
	const bytes = Buffer.byteLength(text)
	if (bytes <= limit) return
	const { event_id, event_type } = event
	const sentence = `An event of type ${event_type} has ${bytes} bytes; the limit is ${limit}. Store large content elsewhere and name it in the event.`
	throw new PlanstreamError('too_large', sentence, { event_id, event_type, bytes, limit })
}

const ATTEMPTS = 10
/** How long the summary of a plan run elsewhere may be out of date; its retention is counted in days. */
const SUMMARY_INTERVAL_MS = 3_600_000

/** No head is there, so an append succeeds when all its events are known, and adds none that is not. */
export const KNOWN_ONLY: AppendOptions = { expected_seq: Number.MAX_SAFE_INTEGER }

/** What a plan looks like to somebody who decides what comes next; `fold` is null for a plan without a log. */
export type Decide = (fold: PlanFold | null) => readonly Draft[]

export interface CommitOptions {
	/** Who owns the plan if this append makes its log. */
	readonly owner: PlanOwner
	readonly expected_seq?: number
}

export interface Committed {
	/** null when the decision was to change nothing. */
	readonly appended: Appended | null
	/** The fold after the decision. */
	readonly fold: PlanFold | null
}

/** The state including everything on its way into the log. */
interface Tip {
	/** Its cursor is known once the append that made it has settled; nothing that is decided looks at it before. */
	readonly fold: PlanFold | null
	readonly state_seq: number
	/** From before this writer was: enough for an append, which the log compares, but nobody is refused by it. */
	readonly remembered: boolean
}

/**
 * Appends to one plan's log what is decided from the plan's state. Decisions do not wait for one another: each sees the
 * state that the appends under way will have made, and the log refuses it (`expected_state_seq`) if they did not; it is then
 * decided again from what the log holds.
 */
export class PlanWriter {
	readonly #plan: PlanKey
	readonly #log: EventLog
	readonly #states: FoldCache
	readonly #clock: () => number
	#tip: Tip | null = null
	/** Raised whenever the tip turned out not to come true. */
	#broken = 0
	#loading: Promise<void> | null = null
	#commits = 0
	/** Ids of the events on their way: whoever sends one of them again asks whether it has arrived. */
	readonly #idsUnderWay = new Set<string>()
	#summarisedAt = 0
	#lastAppend: Promise<unknown> = Promise.resolve()

	/** @param clock - milliseconds since 1970 */
	constructor(plan: PlanKey, log: EventLog, states: FoldCache, clock: () => number) {
		this.#plan = plan
		this.#log = log
		this.#states = states
		this.#clock = clock
		const recent = states.recent(plan)
		if (recent !== null) this.#tip = this.#tipOf(recent, true)
	}

	/** True when nothing is on its way; the writer can then be forgotten. */
	get idle(): boolean {
		return this.#commits === 0
	}

	/**
	 * @throws PlanstreamError whatever `decide` refuses with; `conflict`; `storage_unavailable` after ten rounds against other writers
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
		const sentence = `Other writers changed plan ${this.#plan.plan_id} ${ATTEMPTS} times in a row while this change was decided. Try again.`
		throw new PlanstreamError('storage_unavailable', sentence, { retry_after_ms: 1000 })
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
		const records = encoded.map(({ record }) => record)
		if (records.some(({ event_id }) => this.#idsUnderWay.has(event_id))) return this.#repeat(tip, records)
		const next = advance(tip, encoded, this.#plan.plan_id, options.owner)
		this.#tip = next
		const append = this.#append(tip, next, records, options)
		this.#lastAppend = append
		return append
	}

	/** An answer without an append, which holds where the state it was decided from has come true. */
	async #answer(tip: Tip, answer: () => Committed): Promise<Committed | 'again'> {
		if (tip.remembered) this.#break()
		else if (await this.#cameTrue()) return answer()
		return 'again'
	}

	/** Sends what is on its way already behind itself: the log knows it by then, or it is decided again. */
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
			const appended = await this.#log.append(this.#plan, records, this.#expectations(tip, next, records, options))
			const { head, results, events } = appended
			const last = results.at(-1)
			const { fold } = next
			const cursor = events.at(-1)?.cursor
			// Nobody else has this state yet, so that it need not be copied once more.
			if (fold !== null && cursor !== undefined) Object.assign(fold.state, { cursor })
			if (last?.duplicate === true || last?.seq !== fold?.state.seq) this.#break()
			else if (fold !== null && this.#tip === next) this.#states.remember(this.#plan, { fold, head })
			return { appended, fold }
		} catch (error) {
			this.#break()
			if (!lostRace(error, options)) throw error
			return 'again'
		} finally {
			for (const { event_id } of records) this.#idsUnderWay.delete(event_id)
		}
	}

	#expectations(tip: Tip, next: Tip, records: readonly LogRecord[], options: CommitOptions): AppendOptions {
		// A log whose state has never changed looks, by that alone, like one that is not there.
		const state = tip.state_seq === 0 ? { expected_seq: tip.fold?.state.seq ?? 0 } : { expected_state_seq: tip.state_seq }
		const given = options.expected_seq === undefined ? {} : { expected_seq: options.expected_seq }
		const transient = records.every((record) => record.transient) && tip.fold !== null
		if (next.fold === null || (transient && !this.#isSummaryDue(next.fold))) return { ...state, ...given }
		this.#summarisedAt = this.#clock()
		return { ...state, ...given, summary: summarise(next.fold.state, new Date(this.#summarisedAt).toISOString()) }
	}

	/** Whether the list must hear that a plan run elsewhere lives, although all it tells of is its progress. */
	#isSummaryDue(fold: PlanFold): boolean {
		return fold.state.owner === 'external' && this.#clock() - this.#summarisedAt >= SUMMARY_INTERVAL_MS
	}

	/** Waits for the appends the decision was built on; false when one of them did not come to be. */
	async #cameTrue(): Promise<boolean> {
		const broken = this.#broken
		await this.#settled()
		return this.#broken === broken
	}

	#settled(): Promise<unknown> {
		return this.#lastAppend.catch(() => undefined)
	}

	#break(): void {
		this.#tip = null
		this.#broken++
	}

	#tipOf({ fold, head }: FoldedHead, remembered: boolean): Tip {
		this.#summarisedAt = head.summary === null ? 0 : Date.parse(head.summary.updated_at)
		return { fold, state_seq: head.state_seq, remembered }
	}

	/** Takes the state from the log, once for all who wait for it, and never while appends of an overtaken state are under way. */
	#load(): Promise<void> {
		this.#loading ??= this.#settled()
			.then(() => this.#states.current(this.#plan))
			.then((found) => {
				this.#tip = found === null ? { fold: null, state_seq: 0, remembered: false } : this.#tipOf(found, false)
			})
			.finally(() => {
				this.#loading = null
			})
		return this.#loading
	}
}

/** The tip once these events are in the log. */
function advance(tip: Tip, encoded: readonly Encoded[], plan_id: string, owner: PlanOwner): Tip {
	let fold = tip.fold ?? initialFold(plan_id, owner)
	let state_seq = tip.state_seq
	for (const { record, event } of encoded) {
		const seq = fold.state.seq + 1
		fold = foldEvent(fold, { ...event, seq, cursor: '' } as PlanEvent)
		if (!record.transient) state_seq = seq
	}
	return { fold, state_seq, remembered: false }
}

/** Whether an append was refused because the state had moved on, rather than for what its sender said. */
function lostRace(error: unknown, options: CommitOptions): boolean {
	if (!isConflict(error) || contradicts(error)) return false
	return options.expected_seq === undefined || error.facts.head_seq === options.expected_seq
}

function isConflict(error: unknown): error is PlanstreamError {
	return error instanceof PlanstreamError && error.code === 'conflict'
}

/** Whether the log holds other events under the ids that were sent, or only a part of them. */
export function contradicts({ facts }: PlanstreamError): boolean {
	return 'event_id' in facts || 'duplicates' in facts
}
