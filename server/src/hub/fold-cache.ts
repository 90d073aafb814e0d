import { createHash } from 'node:crypto'
import {
	type FullCursor,
	formatCursor,
	type Json,
	jsonBytes,
	type PlanOwner,
	type PlanState,
	PlanstreamError,
	type Position,
	parsePosition,
} from '@planstream/shared'
import { type EventLog, type Head, type Page, type PlanKey, planKey, type Replacement } from '../log/event-log.js'
import { LruMap } from '../log/lru.js'
import { FairBudget } from '../ops/fair-budget.js'
import { getOwn } from '../ops/json.js'
import { Limits, type ServerLimits } from '../ops/limits.js'
import { foldEvent, forgetUnnamed, initialFold, type PlanFold } from './plan-fold.js'
import { measureState, measureSteps, type PlanSizes } from './state-size.js'
import { parseEvent } from './stream.js'

/** Replaces the trimmed events of a plan. */
export interface Snapshot {
	readonly fold: PlanFold
	/** Results that the fold refers to by event without holding them, by sequence number. */
	readonly results: Readonly<Record<string, Json>>
}

/** Encodes a snapshot after its digest, because no fingerprint covers it. */
export function encodeSnapshot(snapshot: Snapshot): string {
	const text = JSON.stringify(snapshot)
	return `${computeDigest(text)} ${text}`
}

/** @throws PlanstreamError `storage_unavailable` when the text was changed since it was stored */
export function decodeSnapshot(stored: string, { plan_id }: Pick<PlanKey, 'plan_id'>): Snapshot {
	const [digest = ''] = stored.split(' ', 1)
	const text = stored.slice(digest.length + 1)
	if (digest === computeDigest(text)) return JSON.parse(text) as Snapshot
	throw snapshotError(plan_id)
}

function snapshotError(plan_id: string): PlanstreamError {
	const message = `The stored snapshot of plan ${plan_id} is damaged. Restore the data directory from a backup.`
	return new PlanstreamError('storage_unavailable', message, { plan_id })
}

/** Decodes the fold of a snapshot and gives it the cursor of its position: an imported log has a new epoch. */
export function decodeFold(stored: string, plan: Pick<PlanKey, 'plan_id'>, at: FullCursor): PlanFold {
	const { fold } = decodeSnapshot(stored, plan)
	if (fold.state.seq !== at.seq) throw snapshotError(plan.plan_id)
	return { ...fold, state: { ...fold.state, cursor: formatCursor(at) } }
}

/**
 * Reads the result in an event of a plan, even after the event was trimmed.
 *
 * @returns null when the event has no result
 */
export async function resultAt(log: EventLog, plan: PlanKey, seq: number): Promise<Json> {
	const { events, base } = await log.read(plan, { seq: seq - 1 }, 1)
	const [stored] = events
	if (stored?.seq !== seq) return base === null ? null : findResult(decodeSnapshot(base, plan), seq)
	const event = parseEvent(stored)
	if (event.event_type === 'step_completed') return event.data.data
	return event.event_type === 'plan_completed' ? event.data.result : null
}

function findResult({ fold, results }: Snapshot, seq: number): Json {
	const step = fold.state.steps.find(({ result_seq }) => result_seq === seq)
	const kept = step === undefined ? undefined : getOwn(fold.large_results, step.step_id)
	return kept ?? results[seq] ?? null
}

function computeDigest(text: string): string {
	return createHash('sha1').update(text).digest('hex')
}

/** Overhead of a fold. */
const FOLD_BYTES = 2048
/** Size of a lease, a command answer and the like. */
const NOTE_BYTES = 256

/** Estimates the memory of a fold. Large values are measured once, however many folds share them. */
function estimateFoldBytes(fold: PlanFold): number {
	const { state, plan, created, large_results, held, artifacts, commands, leases, skipped_by, resolved, removed } = fold
	const graphs = new Set([plan, created])
	const values = [...graphs, state.result, ...Object.values(large_results), ...Object.values(held)]
	const notes = [artifacts, commands, leases, skipped_by, resolved, removed].reduce((sum, kept) => sum + countEntries(kept), 0)
	const content = values.reduce<number>((sum, value) => sum + jsonBytes(value), 0)
	return FOLD_BYTES + measureState(state) + content + notes * NOTE_BYTES
}

function countEntries(kept: object): number {
	return Array.isArray(kept) ? kept.length : Object.keys(kept).length
}

const READ_PAGE = 256
/** Estimate of a state that is not in memory: the most that a plan may have by default. */
const LOADED_BYTES = 8_388_608
const MAX_OVERSIZED = 1000

/** A fold, and the head of the log that it was folded from. */
export interface FoldedHead {
	readonly fold: PlanFold
	readonly head: Head
	/** Bytes of the events that were folded, with the snapshot before them. */
	readonly log_bytes: number
}

type StateLimits = Pick<ServerLimits, 'states_bytes' | 'working_bytes'>

const documented = new Limits()
const documentedLimits = (): StateLimits => documented.server

/** Bounded cache of folds, read from the log on demand. Any entry may be dropped at any time. */
export class FoldCache {
	readonly #log: EventLog
	readonly #cache: LruMap<FoldedHead>
	/** Plans whose state is too large to read, so that asking again does not fold them again. */
	readonly #oversized = new LruMap<PlanstreamError>(() => MAX_OVERSIZED)

	readonly #loading: FairBudget

	/** @param limits - bytes of all cached folds together, and of those that are loaded at one time. @defaultValue the documented limits */
	constructor(log: EventLog, limits: () => StateLimits = documentedLimits) {
		this.#log = log
		this.#cache = new LruMap(
			() => limits().states_bytes,
			({ fold }) => estimateFoldBytes(fold),
		)
		this.#loading = new FairBudget(() => limits().working_bytes)
	}

	get metrics(): { readonly plans: number; readonly bytes: number } {
		return { plans: this.#cache.size, bytes: this.#cache.weight }
	}

	/** Estimates the bytes of a plan's state and of its log, as far as they are known without reading it. */
	estimate(plan: PlanKey): PlanSizes {
		const known = this.recent(plan)
		if (known === null) return { state_bytes: LOADED_BYTES, plan_bytes: Number.POSITIVE_INFINITY }
		return { state_bytes: estimateFoldBytes(known.fold), plan_bytes: known.log_bytes }
	}

	/** Returns the fold of the whole log; null for a plan without a log. */
	async current(plan: PlanKey): Promise<FoldedHead | null> {
		using _room = this.recent(plan) === null ? await this.#loading.take(plan.tenant, LOADED_BYTES) : null
		const oversized = this.#oversized.get(planKey(plan))
		if (oversized !== undefined) throw oversized
		const cached = this.recent(plan)
		let fold = cached?.fold ?? null
		let log_bytes = cached?.log_bytes ?? 0
		for (;;) {
			const page = await this.#log.read(plan, getPosition(fold), READ_PAGE)
			if (page.head === null) {
				this.forget(plan)
				return null
			}
			if (fold === null || page.verdict.reset !== null) {
				fold = foldBefore(page, page.head, plan)
				log_bytes = Buffer.byteLength(page.base ?? '')
			}
			fold = foldPage(fold, page)
			log_bytes = page.events.reduce((sum, { text }) => sum + Buffer.byteLength(text), log_bytes)
			const refusal = refuseOversized(fold.state)
			if (refusal !== null) {
				this.#oversized.set(planKey(plan), refusal)
				throw refusal
			}
			if (fold.state.seq >= page.head.head_seq) {
				const found = { fold, head: page.head, log_bytes }
				this.remember(plan, found)
				return found
			}
		}
	}

	/** Returns the fold of exactly the first `seq` events; null after they were trimmed. */
	async foldAt(plan: PlanKey, seq: number): Promise<PlanFold | null> {
		const known = this.recent(plan)?.fold.state.seq ?? Number.POSITIVE_INFINITY
		using _room = known > seq ? await this.#loading.take(plan.tenant, LOADED_BYTES) : null
		const cached = this.recent(plan)?.fold
		let fold: PlanFold | null = cached !== undefined && cached.state.seq <= seq ? cached : null
		for (;;) {
			const page: Page = await this.#log.read(plan, fold === null ? 'start' : getPosition(fold), READ_PAGE)
			if (page.head === null) return null
			if (fold === null || page.verdict.reset !== null) fold = foldBefore(page, page.head, plan)
			if (fold.state.seq > seq) return null
			fold = foldPage(fold, page, seq)
			const refusal = refuseOversized(fold.state)
			if (refusal !== null) throw refusal
			if (fold.state.seq === seq) return fold
			if (page.events.length === 0) return null
		}
	}

	/** Returns the cached fold without reading the log, so it may miss appends by other writers. */
	recent(plan: PlanKey): FoldedHead | null {
		return this.#cache.get(planKey(plan)) ?? null
	}

	/** Caches a fold of a prefix of the log. */
	remember(plan: PlanKey, folded: FoldedHead): void {
		this.#cache.set(planKey(plan), folded)
	}

	forget(plan: PlanKey): void {
		this.#cache.delete(planKey(plan))
		this.#oversized.delete(planKey(plan))
	}
}

function getPosition(fold: PlanFold | null): Position {
	return fold === null ? 'start' : (parsePosition(fold.state.cursor) ?? 'start')
}

/** Returns the fold before a page: the snapshot of a trimmed log, or an empty plan. */
function foldBefore(page: Page, head: Head, plan: PlanKey): PlanFold {
	const owner: PlanOwner = head.summary?.owner ?? 'external'
	const { base, from_cursor } = page
	const fold = base === null || from_cursor === null ? initialFold(plan.plan_id, owner) : decodeFold(base, plan, from_cursor)
	// No event tells of an import: it must not change the log that it copies.
	const origin = head.summary?.origin
	return origin === undefined ? fold : { ...fold, state: { ...fold.state, origin } }
}

/** States beyond this size come from versions without a limit; making their text would take the memory of everyone else. */
const MAX_READABLE_BYTES = 67_108_864

/** Returns the refusal of a state that is too large to be read. */
export function refuseOversized({ plan_id, steps }: PlanState): PlanstreamError | null {
	const bytes = measureSteps(steps)
	if (bytes <= MAX_READABLE_BYTES) return null
	const message = `The state of plan ${plan_id} has ${bytes} bytes; at most ${MAX_READABLE_BYTES} can be read. Read its events, or delete the plan.`
	return new PlanstreamError('too_large', message, { plan_id, bytes, limit: MAX_READABLE_BYTES })
}

function foldPage(fold: PlanFold, page: Page, until = Number.POSITIVE_INFINITY): PlanFold {
	return page.events.reduce((before, stored) => (stored.seq > until ? before : foldEvent(before, parseEvent(stored))), fold)
}

/** Makes the snapshot that replaces the first `seq` events of a plan; null when they were trimmed already. */
export async function makeSnapshot(
	log: EventLog,
	states: FoldCache,
	plan: PlanKey,
	seq: number,
): Promise<Pick<Replacement, 'base' | 'artifacts'> | null> {
	const whole = await states.foldAt(plan, seq)
	if (whole === null) return null
	const fold = forgetUnnamed(whole)
	const results: Record<string, Json> = {}
	for (const result_seq of listReferencedResults(fold)) results[result_seq] = await resultAt(log, plan, result_seq)
	return { base: encodeSnapshot({ fold, results }), artifacts: Object.keys(fold.artifacts) }
}

/** Lists the events whose results the state refers to and the fold does not hold. */
function listReferencedResults({ state, large_results }: PlanFold): number[] {
	const steps = state.steps.filter(({ step_id }) => !Object.hasOwn(large_results, step_id))
	return [...steps, state].flatMap(({ result_seq }) => result_seq ?? [])
}
