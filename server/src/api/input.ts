import {
	CLIENT_ID_PATTERN,
	EMPTY_FINGERPRINT,
	type ParsedSubscribeInput,
	PlanstreamError,
	type Position,
	parsePosition,
} from '@planstream/shared'
import type { ReadOptions } from '../hub/reader.js'
import { findJsonFault, type JsonRules } from '../ops/json.js'

/**
 * Parses the JSON object in a body. An empty body counts as `{}`.
 *
 * @throws PlanstreamError `bad_request`
 */
export function parseObject(text: string): Record<string, unknown> {
	if (text === '') return {}
	const value = parseJson(text, (why) => `The body is not JSON${why}. Send one JSON object.`)
	if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
	throw new PlanstreamError('bad_request', 'The body must be a JSON object, such as {"query": "..."}.', { path: '' })
}

/**
 * Parses text from a client.
 *
 * @param explain - builds the message from the parser's reason, which is in parentheses, or empty
 * @throws PlanstreamError `bad_request`
 */
export function parseJson(text: string, explain: (why: string) => string): unknown {
	try {
		return JSON.parse(text)
	} catch (cause) {
		const why = cause instanceof Error ? ` (${cause.message.slice(0, 120)})` : ''
		throw new PlanstreamError('bad_request', explain(why), {}, { cause })
	}
}

/**
 * Checks a value from a client before any schema sees it.
 *
 * @throws PlanstreamError `bad_request` with the `path` of the refused value
 */
export function checkJson(value: unknown, rules?: JsonRules): void {
	const fault = findJsonFault(value, rules)
	if (fault === null) return
	const { what, ...facts } = fault
	throw new PlanstreamError('bad_request', `${fault.path === '' ? 'The input' : fault.path} ${what}.`, facts)
}

/** A position in an epoch that no log has: a reader that resumes from it gets `reset: epoch` and starts over. */
const NOWHERE: Position = { epoch: '-', seq: 0, fingerprint: EMPTY_FINGERPRINT }

/**
 * Converts a subscriber's input to a read request. The id of the last item wins over `after`. A browser cannot change that id,
 * so an invalid one causes a reset instead of an error.
 *
 * @throws PlanstreamError `bad_request` when `after` is not a position, or when `snapshot` is combined with a cursor
 */
export function toReadRequest(input: ParsedSubscribeInput): ReadOptions {
	const { follow, event_types, step_id, max_events_per_s, lastEventId } = input
	const resumed = lastEventId !== undefined && lastEventId !== ''
	const after = resumed ? (parsePosition(lastEventId) ?? NOWHERE) : readPosition(input.after)
	if (input.snapshot && !resumed && typeof after !== 'string') {
		const message = `snapshot needs after "start" or "now", but after is "${input.after}". Remove one of the two.`
		throw new PlanstreamError('bad_request', message, { path: 'snapshot', allowed: ['start', 'now'] })
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

/** @throws PlanstreamError `bad_request` when the text is not a position */
export function readPosition(text: string): Position {
	const position = parsePosition(text)
	if (position !== null) return position
	const message = `after is "${text}", which is not a position. Send an unchanged cursor, a sequence number, "start" or "now".`
	throw new PlanstreamError('bad_request', message, { path: 'after' })
}

/**
 * Checks the name that a client chose for itself; the list of clients shows it.
 *
 * @returns undefined for a client without a name
 * @throws PlanstreamError `bad_request`
 */
export function readClientId(text: string | null | undefined): string | undefined {
	if (text == null || CLIENT_ID_PATTERN.test(text)) return text ?? undefined
	const message = `client_id is "${text.slice(0, 128)}"; it must be 1 to 128 letters, digits, ".", "_", ":" or "-".`
	throw new PlanstreamError('bad_request', message, { path: 'client_id' })
}

/** Reads `client_id` from the query of a URL. */
export function readUrlClientId(url: string | undefined): string | undefined {
	return readClientId(new URLSearchParams((url ?? '').split('?', 2)[1]).get('client_id'))
}
