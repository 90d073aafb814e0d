import { EMPTY_FINGERPRINT, type ParsedSubscribeInput, PlanstreamError, type Position, parsePosition } from '@planstream/shared'
import type { ReadRequest } from '../hub/plan-reader.js'

/** A cursor of an epoch no log has: whoever resumes from it is told `reset: epoch` and starts over. */
const NOWHERE: Position = { epoch: '-', seq: 0, fingerprint: EMPTY_FINGERPRINT }

/**
 * What the hub is asked for, from what a subscriber sent. The id of the last item seen wins over `after`, and because a browser cannot
 * change it, one that is no cursor is answered by a reset rather than refused.
 *
 * @throws PlanstreamError `bad_request` when `after` is no position, or when a snapshot is asked for at a place that has none
 */
export function toReadRequest(input: ParsedSubscribeInput): ReadRequest {
	const { follow, event_types, step_id, max_events_per_s, lastEventId } = input
	const resumed = lastEventId !== undefined && lastEventId !== ''
	const after = resumed ? (parsePosition(lastEventId) ?? NOWHERE) : positionOf(input.after)
	if (input.snapshot && !resumed && typeof after !== 'string') {
		const sentence = `A snapshot goes with after "start" or "now", but after is "${input.after}". Leave one of the two out.`
		throw new PlanstreamError('bad_request', sentence, { path: 'snapshot', allowed: ['start', 'now'] })
	}
	return {
		after,
		follow,
		snapshot: input.snapshot && !resumed,
		...(event_types !== undefined && { event_types: new Set(event_types) }),
		...(step_id !== undefined && { step_id }),
		...(max_events_per_s !== undefined && { max_events_per_s }),
	}
}

/** @throws PlanstreamError `bad_request` when the text is no position */
export function positionOf(text: string): Position {
	const position = parsePosition(text)
	if (position !== null) return position
	const sentence = `after is "${text}", which is no position. Send a cursor as you got it, a sequence number, "start" or "now".`
	throw new PlanstreamError('bad_request', sentence, { path: 'after' })
}
