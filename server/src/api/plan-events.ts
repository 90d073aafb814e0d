import type { ControlFrame, ParsedSubscribeInput, PlanEvent } from '@planstream/shared'
import { formatPosition } from '@planstream/shared'
import { type TrackedEnvelope, tracked } from '@trpc/server'
import type { Hub } from '../hub/hub.js'
import type { Principal } from '../hub/principal.js'
import { cursorOf, eventOf } from '../hub/stream-item.js'
import { toTrpcError, typedError } from './errors.js'
import { type OnProblem, reported } from './procedure.js'
import { toReadRequest } from './read-request.js'
import { aborted, joinSignals } from './signals.js'

type TrackedItem = TrackedEnvelope<PlanEvent | ControlFrame>

export interface PlanEventsOptions {
	readonly hub: Hub
	readonly principal: Principal
	readonly input: ParsedSubscribeInput
	/** Aborts when the reader is gone; only who iterates listens to it. @defaultValue never */
	readonly signal: AbortSignal | undefined
	/** Aborts when the server stops. */
	readonly draining: AbortSignal
	readonly onProblem: OnProblem
}

/**
 * A plan's events for tRPC: what its caller may read, checked and not yet begun. Our transports know this class and deliver what it stands
 * for without iterating it. Any other adapter iterates: each item with the cursor to resume behind it, until there is nothing more to
 * come. After an `end` that asks the reader to resume that never returns, because it would tell the stock client to stop.
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
			yield* trackedItems(this.#options)
		} catch (thrown) {
			throw toTrpcError(reported(typedError(thrown), this.#options.onProblem, 'plans.events'))
		}
	}
}

/**
 * What tells the procedure of a subscription that its reader is gone. A plan's events have none, because our transports deliver them
 * without their procedure: a controller for each reader takes as much memory as what delivers to it.
 */
export function controllerFor(path: string): AbortController | null {
	return path === 'plans.events' ? null : new AbortController()
}

async function* trackedItems(options: PlanEventsOptions): AsyncGenerator<TrackedItem, void, void> {
	const { hub, principal, input, signal = new AbortController().signal, draining } = options
	using ending = joinSignals(signal, draining, principal.expired)
	const request = toReadRequest(input)
	let cursor = formatPosition(request.after)
	for await (const item of hub.subscribe(principal, input.plan_id, { ...request, signal: ending.signal })) {
		cursor = cursorOf(item) ?? cursor
		yield tracked(cursor, item.kind === 'event' ? eventOf(item.stored) : item.frame)
		if (item.kind === 'frame' && item.frame.frame === 'end' && !item.frame.resume) return
	}
	await aborted(signal)
}
