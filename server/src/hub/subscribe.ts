import { type ChangesOutput, type EndReason, type PlanSummary, PlanstreamError } from '@planstream/shared'
import type { EventLog, ListQuery } from '../log/event-log.js'
import type { Schedule } from '../ops/clock.js'
import type { PlanReader, ReadOptions } from './reader.js'
import type { StreamItem } from './stream.js'

/**
 * A flag somebody can wait for. It may ring early or twice, never not at all: a ring between two waits
 * makes the next wait return at once.
 */
export class Signal {
	#rung = false
	#wake: (() => void) | null = null

	ring(): void {
		this.#rung = true
		this.#wake?.()
	}

	/** Resolves at the next ring, or at once if it rang since the last wait, or when the signal aborts. */
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
	/** Ends the subscription; with a {@link PlanstreamError} that {@link endReason} knows after a last `end` frame. */
	readonly signal: AbortSignal
}

/**
 * A reader's items for whoever asks for one after the other: it queues nothing, and who does not ask costs nothing.
 *
 * @param watch - tells when there is more to read
 */
export async function* subscription(
	reader: PlanReader,
	signal: AbortSignal,
	watch: (onGrow: () => void) => Disposable,
): AsyncGenerator<StreamItem, void, void> {
	const bell = new Signal()
	using _watch = watch(() => bell.ring())
	do {
		for (const item of await reader.items(await reader.read())) {
			yield item
			if (signal.aborted) break
		}
		if (reader.endFrame !== null) return
		if (reader.atHead) await bell.wait(signal)
	} while (!signal.aborted)
	const reason = endReason(signal.reason)
	if (reason !== null) yield reader.end(reason, true)
}

/** What a reader is told when its stream is to end; null for a reason that goes without a word. */
export function endReason(reason: unknown): EndReason | null {
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

/** Milliseconds from one item to the next at least: changes in between become one. */
export const CHANGES_INTERVAL_MS = 250

/** What somebody was shown: the text of each summary by its plan. */
type Shown = ReadonlyMap<string, string>

export interface ChangesRequest {
	/** Whose plans, which of them, and how many of the newest. */
	readonly query: ListQuery
	readonly signal: AbortSignal
	readonly schedule: Schedule
}

/** The newest plans that match, then what changes among them, until the signal aborts. */
export async function* planChanges(log: EventLog, request: ChangesRequest): AsyncGenerator<ChangesOutput, void, void> {
	const { query, signal, schedule } = request
	const bell = new Signal()
	using _watch = log.watch({ tenant: query.tenant }, () => bell.ring())
	let shown: Shown | null = null
	while (!signal.aborted) {
		const { plans } = await log.list(query)
		const change = changeOf(shown, plans)
		shown = new Map(plans.map((plan) => [plan.plan_id, JSON.stringify(plan)]))
		if (change !== null) yield change
		await pause(schedule, signal)
		await bell.wait(signal)
	}
}

/**
 * What to tell somebody who was shown a page and is to see another one.
 *
 * @param shown - null before the first page
 * @returns null when nothing differs
 */
export function changeOf(shown: Shown | null, plans: readonly PlanSummary[]): ChangesOutput | null {
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
