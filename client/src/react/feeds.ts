import { isFullCursor, parsePosition } from '@planstream/shared'
import type { Planstream } from '../client.js'
import type { ChangesInput } from '../generated/commands.js'
import type { PlanEvent } from '../generated/events.js'
import type { PlanState, PlanSummary } from '../generated/plans.js'
import { type Frames, SharedStore, type Show } from './shared-store.js'

/** What is known of a plan. */
export interface PlanView {
	/** Null until the plan is known. */
	readonly state: PlanState | null
	/** The newest events, as many as are kept; empty while nobody wants them. */
	readonly events: readonly PlanEvent[]
	/** Why nothing more comes; null while all is well. */
	readonly error: Error | null
}

/** How many events of a plan are kept for the components that show them. */
const KEPT_EVENTS = 10_000

export interface PlanFeedOptions {
	readonly planstream: Planstream
	readonly plan_id: string
	readonly initial: PlanState | null
	readonly onIdle: () => void
	readonly frames: Frames
}

/** One subscription to a plan for all components that show it: of states alone, or of all events once a component shows those. */
export class PlanFeed {
	readonly #options: PlanFeedOptions
	readonly #shared: SharedStore<PlanView>
	#state: PlanState | null
	#wantsEvents = false

	constructor(options: PlanFeedOptions) {
		const { initial, onIdle, frames } = options
		this.#options = options
		this.#state = initial
		const follow = (show: Show<PlanView>, signal: AbortSignal) => this.#follow(show, signal)
		this.#shared = new SharedStore({ initial: viewOf(initial), follow, onIdle, frames })
	}

	get view(): PlanView {
		return this.#shared.view
	}

	/** @param events - whether the listener shows events; the first that does has them read from their start */
	subscribe(listener: () => void, { events }: { readonly events: boolean }): () => void {
		if (events && !this.#wantsEvents) {
			this.#wantsEvents = true
			this.#shared.restart()
		}
		return this.#shared.subscribe(listener)
	}

	async #follow(show: Show<PlanView>, signal: AbortSignal): Promise<void> {
		const { planstream, plan_id } = this.#options
		const recent = new RecentEvents()
		const view = (error: Error | null) => () => ({ state: this.#state, events: recent.list(), error })
		const source = this.#wantsEvents
			? { from: 'start' as const, onEvent: (event: PlanEvent) => recent.add(event) }
			: { from: this.#state ?? ('now' as const) }
		const onReset = (): void => {
			recent.clear()
			this.#state = null
		}
		try {
			for await (const state of planstream.plans.watch(plan_id, { ...source, follow: 'always', signal, onReset })) {
				if (signal.aborted) return
				if (isBehind(state, this.#state)) continue
				this.#state = state
				show(view(null))
				if (state.status === 'completed') return // and stays so
			}
		} catch (thrown) {
			show(view(thrown instanceof Error ? thrown : new Error(String(thrown))))
		}
	}
}

/** The newest events, in order. */
class RecentEvents {
	#events: PlanEvent[] = []

	add(event: PlanEvent): void {
		this.#events.push(event)
		if (this.#events.length >= 2 * KEPT_EVENTS) this.#events.splice(0, KEPT_EVENTS)
	}

	clear(): void {
		this.#events = []
	}

	list(): readonly PlanEvent[] {
		return this.#events.slice(-KEPT_EVENTS)
	}
}

/** What there is to see of a plan of which no more is known than its state. */
export function viewOf(state: PlanState | null): PlanView {
	return { state, events: [], error: null }
}

/** A plan whose events are read from their start was known further on already: it is not shown as it was before. */
function isBehind(state: PlanState, known: PlanState | null): boolean {
	return known !== null && state.seq < known.seq && epochOf(state) === epochOf(known)
}

function epochOf({ cursor }: PlanState): string | null {
	const position = parsePosition(cursor)
	return position !== null && isFullCursor(position) ? position.epoch : null
}

/** What is known of the list of plans. */
export interface ListView {
	/** The newest first; null until the list is known. */
	readonly plans: readonly PlanSummary[] | null
	/** Why nothing more comes; null while all is well. */
	readonly error: Error | null
}

export const UNKNOWN_LIST: ListView = { plans: null, error: null }

export interface ListFeedOptions {
	readonly planstream: Planstream
	readonly query: ChangesInput
	readonly onIdle: () => void
	readonly frames: Frames
}

/** One live list of plans for all components that show it. */
export function listFeed({ planstream, query, onIdle, frames }: ListFeedOptions): SharedStore<ListView> {
	const follow = async (show: Show<ListView>, signal: AbortSignal): Promise<void> => {
		const known = new Map<string, PlanSummary>()
		try {
			for await (const { reset, plans, removed } of planstream.plans.changes(query, { signal })) {
				if (reset) known.clear()
				for (const plan of plans) known.set(plan.plan_id, plan)
				for (const plan_id of removed) known.delete(plan_id)
				show(() => ({ plans: newestFirst(known.values()), error: null }))
			}
		} catch (thrown) {
			const error = thrown instanceof Error ? thrown : new Error(String(thrown))
			show(() => ({ plans: newestFirst(known.values()), error }))
		}
	}
	return new SharedStore({ initial: UNKNOWN_LIST, follow, onIdle, frames })
}

function newestFirst(plans: Iterable<PlanSummary>): readonly PlanSummary[] {
	return [...plans].sort((one, other) => Date.parse(other.created_at) - Date.parse(one.created_at))
}
