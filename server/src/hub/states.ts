import type { PlanOwner, PlanState, Position } from '@planstream/shared'
import { parsePosition } from '@planstream/shared'
import { keyText } from '../log/bells.js'
import type { EventLog, Head, Page, PlanKey } from '../log/event-log.js'
import { LruMap } from '../log/lru.js'
import { foldOfBase } from './base.js'
import { foldEvent, initialFold, type PlanFold } from './plan-fold.js'
import { eventOf } from './stream-item.js'
import { weighFold } from './weigh.js'

const READ_PAGE = 256
/** Bytes of all folds that are kept. */
const MAX_BYTES = 134_217_728

/** A fold and the head of the log it was folded from. */
export interface FoldedHead {
	readonly fold: PlanFold
	readonly head: Head
}

/** Folded states of plans, read from the log on demand. The cache is bounded and may be dropped at any time. */
export class States {
	readonly #log: EventLog
	readonly #cache: LruMap<FoldedHead>

	/**
	 * @param maxBytes - of all folds that are kept
	 * @defaultValue 128 MiB
	 */
	constructor(log: EventLog, maxBytes = MAX_BYTES) {
		this.#log = log
		this.#cache = new LruMap(maxBytes, ({ fold }) => weighFold(fold))
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
		return this.#cache.get(keyText(plan)) ?? null
	}

	/** Keeps a fold that is known to stand for a prefix of the log. */
	remember(plan: PlanKey, folded: FoldedHead): void {
		this.#cache.set(keyText(plan), folded)
	}

	forget(plan: PlanKey): void {
		this.#cache.delete(keyText(plan))
	}
}

function positionOf(fold: PlanFold | null): Position {
	return fold === null ? 'start' : (parsePosition(fold.state.cursor) ?? 'start')
}

/** What stands for everything before the page: the base of a trimmed log, or an empty plan. */
function foldBefore(page: Page, head: Head, plan: PlanKey): PlanFold {
	const owner: PlanOwner = head.summary?.owner ?? 'external'
	if (page.base === null || page.from_cursor === null) return initialFold(plan.plan_id, owner)
	return foldOfBase(page.base, plan, page.from_cursor)
}

function foldPage(fold: PlanFold, page: Page, until = Number.POSITIVE_INFINITY): PlanFold {
	return page.events.reduce((before, stored) => (stored.seq > until ? before : foldEvent(before, eventOf(stored))), fold)
}
