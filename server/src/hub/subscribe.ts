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

/** The last page that was sent: the JSON of each summary by plan id. */
type Shown = ReadonlyMap<string, string>

export interface ChangesRequest {
	/** Selects the tenant, the plans, and how many of the newest. */
	readonly query: ListQuery
	readonly signal: AbortSignal
	readonly schedule: Schedule
}

/** Yields the newest plans that match, then the changes among them, until the signal aborts. */
export async function* watchPlans(log: EventLog, request: ChangesRequest): AsyncGenerator<ChangesOutput, void, void> {
	const { query, signal, schedule } = request
	const growth = new Signal()
	using _watch = log.watch({ tenant: query.tenant }, () => growth.ring())
	let shown: Shown | null = null
	while (!signal.aborted) {
		const { plans } = await log.list(query)
		const change = diffPlans(shown, plans)
		shown = new Map(plans.map((plan) => [plan.plan_id, JSON.stringify(plan)]))
		if (change !== null) yield change
		await pause(schedule, signal)
		await growth.wait(signal)
	}
}

/**
 * Computes the change from the last page to the next.
 *
 * @param shown - null before the first page
 * @returns null when the pages are equal
 */
export function diffPlans(shown: Shown | null, plans: readonly PlanSummary[]): ChangesOutput | null {
	if (shown === null) return { reset: true, plans, removed: [] }
	const changed = plans.filter((plan) => shown.get(plan.plan_id) !== JSON.stringify(plan))
	const kept = new Set(plans.map(({ plan_id }) => plan_id))
	const removed = [...shown.keys()].filter((plan_id) => !kept.has(plan_id))
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
