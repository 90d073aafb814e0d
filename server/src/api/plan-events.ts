import type { ControlFrame, ParsedSubscribeInput, PlanEvent } from '@planstream/shared'
import { formatPosition } from '@planstream/shared'
import { type TrackedEnvelope, tracked } from '@trpc/server'
import { aborted } from '../connections/back-pressure.js'
import type { Carrier } from '../connections/carrier.js'
import type { Hub } from '../hub/hub.js'
import type { Principal } from '../hub/principal.js'
import { cursorOf, eventOf } from '../hub/stream-item.js'
import { toTrpcError, typedError } from './errors.js'
import { type OnProblem, reported } from './procedure.js'
import { joinSignals } from './signals.js'
import { toSubscribeRequest } from './subscribe-request.js'

type TrackedItem = TrackedEnvelope<PlanEvent | ControlFrame>

export interface PlanEventsOptions {
	readonly hub: Hub
	readonly principal: Principal
	readonly carrier: Carrier | undefined
	readonly input: ParsedSubscribeInput
	/** Aborts when the reader is gone. */
	readonly signal: AbortSignal
	/** Aborts when the server stops. */
	readonly draining: AbortSignal
	readonly onProblem: OnProblem
}

/**
 * A plan's events for tRPC, each with the cursor to resume behind it. It returns when there is nothing more to come. After an `end`
 * that asks the reader to resume it never returns, because that would tell the stock client to stop; its connection cuts it.
 */
export async function* planEvents(options: PlanEventsOptions): AsyncGenerator<TrackedItem, void, void> {
	try {
		yield* trackedItems(options)
	} catch (thrown) {
		if (thrown instanceof Error && thrown.name === 'AbortError') throw thrown
		throw toTrpcError(reported(typedError(thrown), options.onProblem, 'plans.events'))
	}
}

async function* trackedItems({
	hub,
	principal,
	carrier,
	input,
	signal,
	draining,
}: PlanEventsOptions): AsyncGenerator<TrackedItem, void, void> {
	using ending = joinSignals(signal, draining, principal.expired)
	using stream = carrier?.begin(input.plan_id)
	const request = toSubscribeRequest(input, ending.signal)
	let cursor = formatPosition(request.after)
	for await (const item of hub.subscribe(principal, input.plan_id, request)) {
		using turn = await stream?.turn(ending.signal)
		if (turn === null) break
		cursor = cursorOf(item) ?? cursor
		yield tracked(cursor, item.kind === 'event' ? eventOf(item.stored) : item.frame)
		if (item.kind === 'event') stream?.delivered()
		else if (item.frame.frame === 'end' && !item.frame.resume) return
	}
	await (stream === undefined ? aborted(signal) : stream.cut(signal))
}
