import { hash } from 'node:crypto'
import { type ChangesOutput, type EndReason, type PlanSummary, PlanstreamError } from '@planstream/shared'
import type { EventLog, ListQuery } from '../log/event-log.js'
import type { Schedule } from '../ops/clock.js'
import type { PlanReader, ReadOptions } from './reader.js'
import type { StreamItem } from './stream.js'

/** An auto-reset event. Spurious wake-ups are possible; a missed one is not: a ring between two waits ends the next wait at once. */
export class Signal {
	#rung = false
	#wake: (() => void) | null = null

	ring(): void {
		this.#rung = true
		this.#wake?.()
	}

	/** Resolves at the next ring, at once if it rang since the last wait, or when the signal aborts. */
	async wait(signal: AbortSignal): Promise<void> {
		if (!this.#rung && !signal.aborted) {
			const { promise, resolve } = withResolvers()
			this.#wake = resolve
			signal.addEventListener('abort', resolve, { once: true })
			await promise
			signal.removeEventListener('abort', resolve)
			this.#wake = null
		}
		this.#rung = false
	}
}

function withResolvers(): { promise: Promise<void>; resolve: () => void } {
	let resolve = (): void => undefined
	const promise = new Promise<void>((done) => {
		resolve = done
	})
	return { promise, resolve }
}

export interface SubscribeRequest extends ReadOptions {
	/** Ends the subscription, after an `end` frame when {@link toEndReason} maps the signal's reason to one. */
	readonly signal: AbortSignal
}

/**
 * Yields the items of a reader on demand: it queues nothing, and an idle consumer costs nothing.
 *
 * @param watch - calls back when there is more to read
 */
export async function* streamItems(
	reader: PlanReader,
	signal: AbortSignal,
	watch: (onGrow: () => void) => Disposable,
): AsyncGenerator<StreamItem, void, void> {
	const growth = new Signal()
	using _watch = watch(() => growth.ring())
	do {
		for (const item of await reader.items(await reader.read())) {
			yield item
			if (signal.aborted) break
		}
		if (reader.endFrame !== null) return
		if (reader.atHead) await growth.wait(signal)
	} while (!signal.aborted)
	const reason = toEndReason(signal.reason)
	if (reason !== null) yield reader.end(reason, true)
}

/** Maps the reason of an abort to that of an `end` frame; null to end without a frame. */
export function toEndReason(reason: unknown): EndReason | null {
	if (!(reason instanceof PlanstreamError)) return null
	switch (reason.code) {
		case 'draining':
		case 'auth_expired':
			return reason.code
		case 'slow_consumer':
			return 'slow'
		default:
			return null
	}
}

/** Minimum time between two items; changes in between are merged. */
export const CHANGES_INTERVAL_MS = 250

/** The last page that was sent: a digest of each summary by plan id, because the summaries have megabytes. */
type Shown = ReadonlyMap<string, string>

/** Bytes of an entry of {@link Shown}, besides the plan id. */
const SHOWN_BYTES = 160

/** Bounds the memory of a live list. */
export interface ListBudget {
	/**
	 * Waits until a page may be made. Disposing the result makes room for another one.
	 *
	 * @throws PlanstreamError `overloaded`
	 */
	readonly reserve: () => Promise<Disposable>
	/** Counts the bytes of what was shown last until the result is disposed. */
	readonly hold: (bytes: number) => Disposable
}

export interface ChangesRequest {
	/** Selects the tenant, the plans, and how many of the newest. */
	readonly query: ListQuery
	readonly signal: AbortSignal
	readonly schedule: Schedule
	readonly budget: ListBudget
}

/** Yields the newest plans that match, then the changes among them, until the signal aborts. */
export async function* watchPlans(log: EventLog, request: ChangesRequest): AsyncGenerator<ChangesOutput, void, void> {
	const { query, signal, schedule, budget } = request
	const growth = new Signal()
	using _watch = log.watch({ tenant: query.tenant }, () => growth.ring())
	using list = new ShownList(budget)
	while (!signal.aborted) {
		yield* list.update(log, query)
		await pause(schedule, signal)
		await growth.wait(signal)
	}
}

/** What one reader was shown last. */
class ShownList implements Disposable {
	readonly #budget: ListBudget
	#shown: Shown | null = null
	#held: Disposable | null = null

	constructor(budget: ListBudget) {
		this.#budget = budget
	}

	/** Yields what has changed, if anything. A generator of its own, because one that waits keeps the last page in its variables. */
	async *update(log: EventLog, query: ListQuery): AsyncGenerator<ChangesOutput, void, void> {
		const change = await this.#read(log, query)
		if (change !== null) yield change
	}

	async #read(log: EventLog, query: ListQuery): Promise<ChangesOutput | null> {
		using _room = await this.#budget.reserve()
		const { plans } = await log.list(query)
		const next = digestPlans(plans)
		const change = diffPlans(this.#shown, plans, next)
		this.#shown = next
		this[Symbol.dispose]()
		this.#held = this.#budget.hold(plans.reduce((sum, { plan_id }) => sum + plan_id.length + SHOWN_BYTES, 0))
		return change
	}

	[Symbol.dispose](): void {
		this.#held?.[Symbol.dispose]()
	}
}

export function digestPlans(plans: readonly PlanSummary[]): Shown {
	return new Map(plans.map((plan) => [plan.plan_id, hash('sha256', JSON.stringify(plan), 'base64url')]))
}

/**
 * Computes the change from the last page to the next.
 *
 * @param shown - null before the first page
 * @param next - the digests of `plans`
 * @returns null when the pages are equal
 */
export function diffPlans(shown: Shown | null, plans: readonly PlanSummary[], next: Shown): ChangesOutput | null {
	if (shown === null) return { reset: true, plans, removed: [] }
	const changed = plans.filter(({ plan_id }) => shown.get(plan_id) !== next.get(plan_id))
	const removed = [...shown.keys()].filter((plan_id) => !next.has(plan_id))
	return changed.length + removed.length === 0 ? null : { reset: false, plans: changed, removed }
}

function pause(schedule: Schedule, signal: AbortSignal): Promise<void> {
	return new Promise((resolve) => {
		const timer = schedule(end, CHANGES_INTERVAL_MS)
		function end(): void {
			timer[Symbol.dispose]()
			signal.removeEventListener('abort', end)
			resolve()
		}
		signal.addEventListener('abort', end)
		if (signal.aborted) end()
	})
}
