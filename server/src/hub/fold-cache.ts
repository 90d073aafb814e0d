import { createHash } from 'node:crypto'
import {
	type FullCursor,
	formatCursor,
	indexSteps,
	type Json,
	jsonBytes,
	type PlanOwner,
	type PlanState,
	PlanstreamError,
	type Position,
	parsePosition,
} from '@planstream/shared'
import { type EventLog, type Head, type Page, type PlanKey, planKey } from '../log/event-log.js'
import { LruMap } from '../log/lru.js'
import { foldEvent, initialFold, type PlanFold } from './plan-fold.js'
import { eventOf, getOwn } from './stream.js'

/** What stands for the first events of a plan once they are gone. */
export interface Snapshot {
	readonly fold: PlanFold
	/** Results that the fold names by the number of their event and does not hold itself, by that number. */
	readonly results: Readonly<Record<string, Json>>
}

/** The text of a base: its digest, then the base itself, because no fingerprint covers it. */
export function encodeSnapshot(base: Snapshot): string {
	const text = JSON.stringify(base)
	return `${digestOf(text)} ${text}`
}

/** @throws PlanstreamError `storage_unavailable` when it is not the text that was stored */
export function decodeSnapshot(stored: string, { plan_id }: Pick<PlanKey, 'plan_id'>): Snapshot {
	const [digest = ''] = stored.split(' ', 1)
	const text = stored.slice(digest.length + 1)
	if (digest === digestOf(text)) return JSON.parse(text) as Snapshot
	throw damaged(plan_id)
}

function damaged(plan_id: string): PlanstreamError {
	const sentence = `What stands for the trimmed events of plan ${plan_id} is damaged in the store. Restore a backup of it.`
	return new PlanstreamError('storage_unavailable', sentence, { plan_id })
}

/** The fold that a base holds, at the place in the log where it stands; the log of an imported plan has another epoch than it had. */
export function foldOfSnapshot(stored: string, plan: Pick<PlanKey, 'plan_id'>, at: FullCursor): PlanFold {
	const { fold } = decodeSnapshot(stored, plan)
	if (fold.state.seq !== at.seq) throw damaged(plan.plan_id)
	return { ...fold, state: { ...fold.state, cursor: formatCursor(at) } }
}

/**
 * The result that an event of a plan holds, also when the event has been trimmed.
 *
 * @returns null when the event holds none
 */
export async function resultAt(log: EventLog, plan: PlanKey, seq: number): Promise<Json> {
	const { events, base } = await log.read(plan, { seq: seq - 1 }, 1)
	const [stored] = events
	if (stored?.seq !== seq) return base === null ? null : resultInSnapshot(decodeSnapshot(base, plan), seq)
	const event = eventOf(stored)
	if (event.event_type === 'step_completed') return event.data.data
	return event.event_type === 'plan_completed' ? event.data.result : null
}

function resultInSnapshot({ fold, results }: Snapshot, seq: number): Json {
	const step = fold.state.steps.find(({ result_seq }) => result_seq === seq)
	const kept = step === undefined ? undefined : getOwn(fold.large_results, step.step_id)
	return kept ?? results[seq] ?? null
}

function digestOf(text: string): string {
	return createHash('sha1').update(text).digest('hex')
}

/** What a fold takes beside what it holds, and each step in it, in bytes. */
const FOLD_BYTES = 2048
const STEP_BYTES = 1024
/** A lease, an answer or another note of what has happened to a step. */
const NOTE_BYTES = 256

/** About how many bytes a fold keeps in memory. What is large in it is measured once, however many folds share it. */
function estimateFoldBytes(fold: PlanFold): number {
	const { state, plan, created, large_results, held, artifacts, commands, leases, skipped_by, resolved, removed } = fold
	const { resultBytes } = indexSteps(state.steps)
	const graphs = new Set([plan, created])
	const values = [...graphs, state.result, ...Object.values(large_results), ...Object.values(held)]
	const notes = [artifacts, commands, leases, skipped_by, resolved, removed].reduce((sum, kept) => sum + sizeOf(kept), 0)
	const content = values.reduce<number>((sum, value) => sum + jsonBytes(value), 0)
	return FOLD_BYTES + state.steps.length * STEP_BYTES + resultBytes + content + notes * NOTE_BYTES
}

function sizeOf(kept: object): number {
	return Array.isArray(kept) ? kept.length : Object.keys(kept).length
}

const READ_PAGE = 256
/** Bytes of all folds that are kept. */
const MAX_BYTES = 134_217_728

/** A fold and the head of the log it was folded from. */
export interface FoldedHead {
	readonly fold: PlanFold
	readonly head: Head
}

/** Folded states of plans, read from the log on demand. The cache is bounded and may be dropped at any time. */
export class FoldCache {
	readonly #log: EventLog
	readonly #cache: LruMap<FoldedHead>

	/**
	 * @param maxBytes - of all folds that are kept
	 * @defaultValue 128 MiB
	 */
	constructor(log: EventLog, maxBytes = MAX_BYTES) {
		this.#log = log
		this.#cache = new LruMap(maxBytes, ({ fold }) => estimateFoldBytes(fold))
	}

	get metrics(): { readonly plans: number; readonly bytes: number } {
		return { plans: this.#cache.size, bytes: this.#cache.weight }
	}

	/** The fold of everything in the log; null for a plan without one. */
	async current(plan: PlanKey): Promise<FoldedHead | null> {
		let fold = this.recent(plan)?.fold ?? null
		for (;;) {
			const page = await this.#log.read(plan, positionOf(fold), READ_PAGE)
			if (page.head === null) {
				this.forget(plan)
				return null
			}
			if (fold === null || page.verdict.reset !== null) fold = foldBefore(page, page.head, plan)
			fold = foldPage(fold, page)
			if (fold.state.seq >= page.head.head_seq) {
				const found = { fold, head: page.head }
				this.remember(plan, found)
				return found
			}
		}
	}

	/** What viewers see of the plan after its first `seq` events, none of them younger; null when these are no longer kept. */
	async at(plan: PlanKey, seq: number): Promise<PlanState | null> {
		return (await this.foldAt(plan, seq))?.state ?? null
	}

	/** The fold of the first `seq` events; null when these are no longer kept. */
	async foldAt(plan: PlanKey, seq: number): Promise<PlanFold | null> {
		const cached = this.recent(plan)?.fold
		let fold: PlanFold | null = cached !== undefined && cached.state.seq <= seq ? cached : null
		for (;;) {
			const page: Page = await this.#log.read(plan, fold === null ? 'start' : positionOf(fold), READ_PAGE)
			if (page.head === null) return null
			if (fold === null || page.verdict.reset !== null) fold = foldBefore(page, page.head, plan)
			if (fold.state.seq > seq) return null
			fold = foldPage(fold, page, seq)
			if (fold.state.seq === seq) return fold
			if (page.events.length === 0) return null
		}
	}

	/** The fold that was kept last, without a look at the log: what others have done to it since does not show. */
	recent(plan: PlanKey): FoldedHead | null {
		return this.#cache.get(planKey(plan)) ?? null
	}

	/** Keeps a fold that is known to stand for a prefix of the log. */
	remember(plan: PlanKey, folded: FoldedHead): void {
		this.#cache.set(planKey(plan), folded)
	}

	forget(plan: PlanKey): void {
		this.#cache.delete(planKey(plan))
	}
}

function positionOf(fold: PlanFold | null): Position {
	return fold === null ? 'start' : (parsePosition(fold.state.cursor) ?? 'start')
}

/** What stands for everything before the page: the base of a trimmed log, or an empty plan. */
function foldBefore(page: Page, head: Head, plan: PlanKey): PlanFold {
	const owner: PlanOwner = head.summary?.owner ?? 'external'
	if (page.base === null || page.from_cursor === null) return initialFold(plan.plan_id, owner)
	return foldOfSnapshot(page.base, plan, page.from_cursor)
}

function foldPage(fold: PlanFold, page: Page, until = Number.POSITIVE_INFINITY): PlanFold {
	return page.events.reduce((before, stored) => (stored.seq > until ? before : foldEvent(before, eventOf(stored))), fold)
}

/** What is to stand for the first `seq` events of a plan; null when they are gone already. */
export async function makeSnapshot(log: EventLog, states: FoldCache, plan: PlanKey, seq: number): Promise<string | null> {
	const fold = await states.foldAt(plan, seq)
	if (fold === null) return null
	const results: Record<string, Json> = {}
	for (const named of namedResults(fold)) results[named] = await resultAt(log, plan, named)
	return encodeSnapshot({ fold, results })
}

/** Numbers of the events whose results the state names and the fold does not hold. */
function namedResults({ state, large_results }: PlanFold): number[] {
	const steps = state.steps.filter(({ step_id }) => !Object.hasOwn(large_results, step_id))
	return [...steps, state].flatMap(({ result_seq }) => result_seq ?? [])
}
