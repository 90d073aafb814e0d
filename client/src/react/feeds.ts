import { isFullCursor, parsePosition } from '@planstream/shared'
import type { Planstream } from '../client.js'
import type { ChangesInput } from '../generated/commands.js'
import type { PlanEvent } from '../generated/events.js'
import type { PlanState, PlanSummary } from '../generated/plans.js'
import { type Frames, SharedStore, type Show } from './shared-store.js'

/** A plan as a component sees it. */
export interface PlanView {
	/** Null until the plan is loaded. */
	readonly state: PlanState | null
	/** The newest 10,000 events; empty while no component uses them. */
	readonly events: readonly PlanEvent[]
	/** The error that ended the updates; null while there is none. */
	readonly error: Error | null
}

/** Number of events of a plan that are kept for the components that show them. */
const KEPT_EVENTS = 10_000

export interface PlanFeedOptions {
	readonly planstream: Planstream
	readonly plan_id: string
	readonly initial: PlanState | null
	readonly onIdle: () => void
	readonly frames: Frames
}

/** One subscription to a plan for all components that show it: to states only, or to all events once a component shows those. */
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
		this.#shared = new SharedStore({ initial: createView(initial), follow, onIdle, frames })
	}

	get view(): PlanView {
		return this.#shared.view
	}

	/** @param events - whether the listener shows events; the first such listener restarts the stream from the first event */
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
				if (state.status === 'completed') return // nothing follows a completed plan
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

/** Makes the view of a plan from its state alone. */
export function createView(state: PlanState | null): PlanView {
	return { state, events: [], error: null }
}

/** Tells whether a state is older than the shown one, as while events are read again from the start. */
function isBehind(state: PlanState, known: PlanState | null): boolean {
	return known !== null && state.seq < known.seq && readEpoch(state) === readEpoch(known)
}

function readEpoch({ cursor }: PlanState): string | null {
	const position = parsePosition(cursor)
	return position !== null && isFullCursor(position) ? position.epoch : null
}

/** A list of plans as a component sees it. */
export interface ListView {
	/** Newest first; null until the list is loaded. */
	readonly plans: readonly PlanSummary[] | null
	/** The error that ended the updates; null while there is none. */
	readonly error: Error | null
}

export const UNKNOWN_LIST: ListView = { plans: null, error: null }

export interface ListFeedOptions {
	readonly planstream: Planstream
	readonly query: ChangesInput
	readonly onIdle: () => void
	readonly frames: Frames
}

/** Makes one live list of plans for all components that show it. */
export function createListFeed({ planstream, query, onIdle, frames }: ListFeedOptions): SharedStore<ListView> {
	const follow = async (show: Show<ListView>, signal: AbortSignal): Promise<void> => {
		const known = new Map<string, PlanSummary>()
		try {
			for await (const { reset, plans, removed } of planstream.plans.changes(query, { signal })) {
				if (reset) known.clear()
				for (const plan of plans) known.set(plan.plan_id, plan)
				for (const plan_id of removed) known.delete(plan_id)
				show(() => ({ plans: sortNewestFirst(known.values()), error: null }))
			}
		} catch (thrown) {
			const error = thrown instanceof Error ? thrown : new Error(String(thrown))
			show(() => ({ plans: sortNewestFirst(known.values()), error }))
		}
	}
	return new SharedStore({ initial: UNKNOWN_LIST, follow, onIdle, frames })
}

function sortNewestFirst(plans: Iterable<PlanSummary>): readonly PlanSummary[] {
	return [...plans].sort((one, other) => Date.parse(other.created_at) - Date.parse(one.created_at))
}
