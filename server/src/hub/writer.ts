import { type PlanEvent, type PlanOwner, PlanstreamError } from '@planstream/shared'
import type { Appended, AppendOptions, EventLog, PlanKey } from '../log/event-log.js'
import { foldEvent, initialFold, type PlanFold, summarise } from './plan-fold.js'
import { type Draft, type Encoded, encode } from './records.js'
import type { States } from './states.js'

const ATTEMPTS = 10

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

/** The fold including everything on its way into the log. */
interface Tip {
	readonly fold: PlanFold | null
	readonly state_seq: number
}

/**
 * Appends to one plan's log what is decided from the plan's state. Decisions do not wait for one another: each sees the
 * state that the appends under way will have made, and the log refuses it (`expected_state_seq`) if they did not; it is then decided
 * again from what the log holds.
 */
export class PlanWriter {
	readonly #plan: PlanKey
	readonly #log: EventLog
	readonly #states: States
	readonly #now: () => string
	#tip: Tip | null = null
	#loading: Promise<void> | null = null
	#underWay = 0
	#settled: (() => void)[] = []

	constructor(plan: PlanKey, log: EventLog, states: States, now: () => string) {
		this.#plan = plan
		this.#log = log
		this.#states = states
		this.#now = now
	}

	/** True when nothing is on its way; the writer can then be forgotten. */
	get idle(): boolean {
		return this.#underWay === 0 && this.#loading === null && this.#settled.length === 0
	}

	/**
	 * @throws PlanstreamError whatever `decide` refuses with; `conflict`; `storage_unavailable` after ten rounds against other writers
	 */
	async commit(options: CommitOptions, decide: Decide): Promise<Committed> {
		for (let round = 0; round < ATTEMPTS; round++) {
			if (this.#tip === null) await this.#load()
			const tip: Tip | null = this.#tip
			const outcome = tip === null ? 'again' : await this.#try(tip, options, decide)
			if (outcome !== 'again') return outcome
		}
		const sentence = `Other writers changed plan ${this.#plan.plan_id} ${ATTEMPTS} times in a row while this change was decided. Try again.`
		throw new PlanstreamError('storage_unavailable', sentence, { retry_after_ms: 1000 })
	}

	async #try(tip: Tip, options: CommitOptions, decide: Decide): Promise<Committed | 'again'> {
		let encoded: Encoded[]
		try {
			const now = this.#now()
			encoded = decide(tip.fold).map((draft) => encode(draft, this.#plan.plan_id, now))
		} catch (refusal) {
			if (await this.#stillTrue(tip)) throw refusal
			return 'again'
		}
		if (encoded.length === 0) return (await this.#stillTrue(tip)) ? { appended: null, fold: tip.fold } : 'again'
		const next = advance(tip, encoded, this.#plan.plan_id, options.owner)
		this.#tip = next
		return this.#append(tip, next, encoded, options)
	}

	async #append(tip: Tip, next: Tip, encoded: readonly Encoded[], options: CommitOptions): Promise<Committed | 'again'> {
		this.#underWay++
		try {
			const records = encoded.map(({ record }) => record)
			const appended = await this.#log.append(this.#plan, records, this.#expectations(tip, next, records, options))
			const last = appended.results.at(-1)
			const fold = settledFold(next.fold, appended)
			if (last?.duplicate === true || last?.seq !== fold?.state.seq) this.#tip = null
			else if (fold !== null && this.#tip === next) this.#states.remember(this.#plan, fold)
			return { appended, fold }
		} catch (error) {
			this.#tip = null
			if (!lostRace(error, options)) throw error
			return 'again'
		} finally {
			this.#underWay--
			this.#settle()
		}
	}

	#expectations(tip: Tip, next: Tip, records: readonly Encoded['record'][], options: CommitOptions): AppendOptions {
		const state = tip.fold === null ? { expected_seq: 0 } : { expected_state_seq: tip.state_seq }
		const given = options.expected_seq === undefined ? {} : { expected_seq: options.expected_seq }
		if (records.every((record) => record.transient) && tip.fold !== null) return { ...state, ...given }
		return { ...state, ...given, ...(next.fold !== null && { summary: summarise(next.fold.state, this.#now()) }) }
	}

	/** Waits for what is under way; false when the state that was decided on did not come to be. */
	async #stillTrue(tip: Tip): Promise<boolean> {
		if (this.#tip !== tip) return false
		if (this.#underWay === 0) return true
		await this.#quiet()
		return this.#tip !== null
	}

	async #quiet(): Promise<void> {
		if (this.#underWay > 0) await new Promise<void>((resolve) => this.#settled.push(resolve))
	}

	#settle(): void {
		if (this.#underWay > 0) return
		const waiting = this.#settled
		this.#settled = []
		for (const resolve of waiting) resolve()
	}

	/** Takes the state from the log, once for all who wait for it, and never while appends of an overtaken state are under way. */
	#load(): Promise<void> {
		this.#loading ??= this.#quiet()
			.then(() => this.#states.current(this.#plan))
			.then((found) => {
				this.#tip = { fold: found?.fold ?? null, state_seq: found?.head.state_seq ?? 0 }
			})
			.finally(() => {
				this.#loading = null
			})
		return this.#loading
	}
}

/** The tip once these events are in the log. Their cursors are known only then; nothing that is decided looks at one. */
function advance(tip: Tip, encoded: readonly Encoded[], plan_id: string, owner: PlanOwner): Tip {
	let fold = tip.fold ?? initialFold(plan_id, owner)
	let state_seq = tip.state_seq
	for (const { record, event } of encoded) {
		const seq = fold.state.seq + 1
		fold = foldEvent(fold, { ...event, seq, cursor: '' } as PlanEvent)
		if (!record.transient) state_seq = seq
	}
	return { fold, state_seq }
}

/** The fold with the cursor the log gave its last event. */
function settledFold(fold: PlanFold | null, appended: Appended): PlanFold | null {
	const cursor = appended.events.at(-1)?.cursor
	if (fold === null || cursor === undefined) return fold
	return { ...fold, state: { ...fold.state, cursor } }
}

/** Whether an append was refused because the state had moved on, rather than for what its sender said. */
function lostRace(error: unknown, options: CommitOptions): boolean {
	if (!(error instanceof PlanstreamError) || error.code !== 'conflict') return false
	if ('event_id' in error.facts || 'duplicates' in error.facts) return false
	return options.expected_seq === undefined || error.facts['head_seq'] === options.expected_seq
}
