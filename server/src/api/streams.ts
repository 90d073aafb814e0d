import {
	type ChangesOutput,
	type ControlFrame,
	formatPosition,
	type HistoryOutput,
	type ParsedSubscribeInput,
	type PlanEvent,
} from '@planstream/shared'
import type { changesInput, historyInput } from '@planstream/shared/schemas'
import { type TrackedEnvelope, tracked } from '@trpc/server'
import type * as z from 'zod'
import type { AnswerBudget } from '../connections/answer-budget.js'
import type { Hub } from '../hub/hub.js'
import type { Principal } from '../hub/principal.js'
import { getResumeCursor, parseEvent } from '../hub/stream.js'
import type { ListBudget } from '../hub/subscribe.js'
import { PAGE_BYTES } from '../log/event-log.js'
import type { Schedule } from '../ops/clock.js'
import { toTrpcError, toTypedError } from './errors.js'
import { readPosition, toReadRequest } from './input.js'
import { type AnswerTurns, type OnProblem, reportFailures } from './procedure.js'
import { toListQuery } from './reads.js'

/**
 * Joins signals into one that aborts with the first of them, and its reason. Unlike `AbortSignal.any` it removes its listeners
 * when disposed, so nothing accumulates on a signal that lives as long as the server.
 *
 * @param given - undefined stands for a signal that never aborts
 */
function joinSignals(...given: readonly (AbortSignal | undefined)[]): Disposable & { readonly signal: AbortSignal } {
	const signals = given.filter((signal) => signal !== undefined)
	const joined = new AbortController()
	const abort = (event: Event): void => joined.abort((event.target as AbortSignal).reason)
	for (const signal of signals) signal.addEventListener('abort', abort)
	const first = signals.find((signal) => signal.aborted)
	if (first !== undefined) joined.abort(first.reason)
	return {
		signal: joined.signal,
		[Symbol.dispose]: () => {
			for (const signal of signals) signal.removeEventListener('abort', abort)
		},
	}
}

function waitForAbort(signal: AbortSignal): Promise<void> {
	return new Promise((resolve) => {
		if (signal.aborted) resolve()
		else signal.addEventListener('abort', () => resolve(), { once: true })
	})
}

type TrackedItem = TrackedEnvelope<PlanEvent | ControlFrame>

interface PlanEventsOptions {
	readonly hub: Hub
	readonly principal: Principal
	readonly input: ParsedSubscribeInput
	/** Aborts when the reader is gone. Used only while iterating. @defaultValue never */
	readonly signal: AbortSignal | undefined
	/** Aborts when the server stops. */
	readonly draining: AbortSignal
	readonly onProblem: OnProblem
}

/**
 * A plan's events for tRPC: authorised and validated, but not started. Our own transports recognise this class and deliver the
 * events without iterating it. Any other adapter iterates: each item carries the cursor to resume after it. After an `end` that
 * asks the reader to resume, the iteration stays pending, because returning would tell tRPC's client to stop.
 */
export class PlanEvents implements AsyncIterable<TrackedItem, void, void> {
	readonly principal: Principal
	readonly input: ParsedSubscribeInput
	readonly #options: PlanEventsOptions

	constructor(options: PlanEventsOptions) {
		this.principal = options.principal
		this.input = options.input
		this.#options = options
	}

	async *[Symbol.asyncIterator](): AsyncGenerator<TrackedItem, void, void> {
		try {
			yield* trackItems(this.#options)
		} catch (thrown) {
			throw toTrpcError(reportFailures(toTypedError(thrown), this.#options.onProblem, 'plans.events'))
		}
	}
}

/**
 * Creates the controller that aborts a subscription's procedure when its reader is gone. A plan's events need none, because our
 * transports deliver them without iterating: a controller takes as much memory per reader as the delivery itself.
 */
export function createStreamController(path: string): AbortController | null {
	return path === 'plans.events' ? null : new AbortController()
}

async function* trackItems(options: PlanEventsOptions): AsyncGenerator<TrackedItem, void, void> {
	const { hub, principal, input, signal = new AbortController().signal, draining } = options
	using ending = joinSignals(signal, draining, principal.expired)
	const request = toReadRequest(input)
	let cursor = formatPosition(request.after)
	for await (const item of hub.subscribe(principal, input.plan_id, { ...request, signal: ending.signal })) {
		cursor = getResumeCursor(item) ?? cursor
		yield tracked(cursor, item.kind === 'event' ? parseEvent(item.stored) : item.frame)
		if (item.kind === 'frame' && item.frame.frame === 'end' && !item.frame.resume) return
	}
	await waitForAbort(signal)
}

interface PlanChangesOptions {
	readonly hub: Hub
	readonly principal: Principal
	readonly input: z.output<typeof changesInput>
	/** Aborts when the reader is gone. @defaultValue never */
	readonly signal: AbortSignal | undefined
	/** Aborts when the server stops. */
	readonly draining: AbortSignal
	readonly schedule: Schedule
	readonly answers: AnswerBudget
	/** Absent when the stream has a connection of its own. */
	readonly turns: AnswerTurns | undefined
	readonly onProblem: OnProblem
}

/** Largest page of the list for each of its plans, up to {@link PAGE_BYTES}. */
const LISTED_BYTES = 4096

/**
 * Creates the budget of a live list: its pages are made one at a time on a connection, when there is room for them, and together with those of
 * other readers.
 *
 * @param turns - those of the connection. @defaultValue the connection has no other stream
 */
export function createListBudget(answers: AnswerBudget, tenant: string, limit: number, turns?: AnswerTurns): ListBudget {
	return {
		reserve: async () => {
			const turn = await turns?.take()
			try {
				const room = await answers.reserve(tenant, Math.min(limit * LISTED_BYTES, PAGE_BYTES))
				return {
					[Symbol.dispose]: () => {
						room[Symbol.dispose]()
						turn?.[Symbol.dispose]()
					},
				}
			} catch (refused) {
				turn?.[Symbol.dispose]()
				throw refused
			}
		},
		hold: (bytes) => answers.hold(tenant, bytes),
	}
}

/**
 * The live list of plans for tRPC. It ends only with its reader: when the server stops, the connection is cut, so that tRPC's client reconnects.
 * No generator, because one that delegates to another keeps the last page in memory while it waits for the next.
 */
export class PlanChanges implements AsyncIterable<ChangesOutput, void, void> {
	readonly #options: PlanChangesOptions

	constructor(options: PlanChangesOptions) {
		this.#options = options
	}

	[Symbol.asyncIterator](): AsyncIterator<ChangesOutput, void, void> {
		const { hub, principal, input, signal = new AbortController().signal, draining, schedule, answers, turns } = this.#options
		const ending = joinSignals(signal, draining, principal.expired)
		const budget = createListBudget(answers, principal.tenant, input.limit, turns)
		const changes = hub.changes(principal, toListQuery(input), { signal: ending.signal, schedule, budget })
		const end = async (): Promise<IteratorResult<ChangesOutput, void>> => {
			ending[Symbol.dispose]()
			return changes.return()
		}
		return {
			next: async () => {
				try {
					const next = await changes.next()
					if (next.done === true) await waitForAbort(signal)
					return next.done === true ? await end() : next
				} catch (thrown) {
					await end()
					throw toTrpcError(reportFailures(toTypedError(thrown), this.#options.onProblem, 'plans.changes'))
				}
			},
			return: end,
		}
	}
}

/**
 * Passes on the items of a stream one at a time, until it ends or `send` resolves to false. No item stays in memory while the next one is
 * waited for, as it would in the variable of a loop.
 */
export async function passOn<Item>(items: AsyncIterable<Item>, send: (item: Item) => Promise<boolean>): Promise<void> {
	const iterator = items[Symbol.asyncIterator]()
	const passOnNext = async (): Promise<boolean> => {
		const next = await iterator.next()
		return next.done !== true && (await send(next.value))
	}
	try {
		while (await passOnNext());
	} finally {
		await iterator.return?.()
	}
}

interface PlanHistoryOptions {
	readonly hub: Hub
	readonly answers: AnswerBudget
	readonly principal: Principal
	readonly input: z.output<typeof historyInput>
	/** Aborts when the reader is gone. @defaultValue never */
	readonly signal: AbortSignal | undefined
	/** Aborts when the server stops. */
	readonly draining: AbortSignal
	readonly schedule: Schedule
	/** Absent when the page is the only answer of its request. */
	readonly turns: AnswerTurns | undefined
}

/**
 * Bytes that a page counts at least when it was waited for: one event wakes all who wait for it, and only a few of their pages are made before the
 * server looks after other requests.
 */
const WOKEN_BYTES = 524_288

/**
 * Reads one page of a plan's history, waiting for events when it is empty and `wait_ms` is set. Serialising the page reproduces
 * the stored text of each event, because that text is itself the JSON of a parsed object.
 */
export async function readHistory(options: PlanHistoryOptions): Promise<HistoryOutput> {
	const { hub, answers, principal, input, signal, draining, schedule, turns } = options
	const { plan_id, after, limit, wait_ms } = input
	const over = new AbortController()
	using _timer = wait_ms === 0 ? null : schedule(() => over.abort(), wait_ms)
	if (wait_ms === 0) over.abort()
	using waiting = joinSignals(over.signal, signal, draining, principal.expired)
	let request = { after: readPosition(after), limit, waiting: waiting.signal }
	if (wait_ms > 0) {
		// Waits for an event without a turn, so that other calls continue. Only the page itself is read in turn.
		const { events } = await hub.page(principal, plan_id, { ...request, limit: 1 })
		over.abort()
		// The event is after `now`, as it was when the wait began.
		if (request.after === 'now' && events[0] !== undefined) request = { ...request, after: { seq: events[0].seq - 1 } }
	}
	using _turn = await turns?.take()
	const { plan_bytes } = hub.estimate({ tenant: principal.tenant, plan_id })
	const bytes = Math.max(wait_ms > 0 ? WOKEN_BYTES : 0, Math.min(plan_bytes, PAGE_BYTES))
	using _room = await answers.reserve(principal.tenant, bytes)
	const page = await hub.page(principal, plan_id, request)
	return { plan_id, event_count: page.events.length, ...page, events: page.events.map(parseEvent) }
}
