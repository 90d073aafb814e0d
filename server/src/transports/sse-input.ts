import { type ParsedSubscribeInput, PlanstreamError, parsePosition } from '@planstream/shared'
import { contract } from '@planstream/shared/schemas'
import { readClientId } from '../api/client-id.js'
import { typedError } from '../api/errors.js'
import { queryParameters, readQuery } from '../api/query.js'
import { pathFields } from '../api/rest.js'

const ROUTE = contract['plans.events']

/** What a request for a stream says of the reading, not of what is read. */
export const READING = [['client_id', 'text'] as const, ['close_after_ms', 'number'] as const]

/** `lastEventId` is tRPC's name; here the browser's header stands for it, and a parameter for those who cannot set one. */
const PARAMETERS = new Map([
	...queryParameters(ROUTE.input, [...pathFields(ROUTE), 'lastEventId']),
	['last_event_id', 'text'] as const,
	...READING,
])

export interface SseRequest {
	readonly plan_id: string
	/** The query string with its question mark. */
	readonly search: string
	/** The header `Last-Event-ID`. */
	readonly lastEventId: string | undefined
}

export interface SseSubscription {
	readonly input: ParsedSubscribeInput
	readonly reading: Reading
}

/** How a stream is read. */
export interface Reading {
	/** What the reader calls itself. */
	readonly client_id: string | undefined
	/** Ends the response after so long, for networks that pass it on only when it ends. */
	readonly closeAfterMs: number | undefined
}

/** @throws PlanstreamError `bad_request` with the `path` of the parameter */
export function readReading(client_id: unknown, close_after_ms: unknown): Reading {
	const named = readClientId(client_id as string | undefined)
	if (close_after_ms === undefined) return { client_id: named, closeAfterMs: undefined }
	if (Number.isInteger(close_after_ms) && Number(close_after_ms) >= 0 && Number(close_after_ms) <= MAX_CLOSE_AFTER_MS) {
		return { client_id: named, closeAfterMs: Number(close_after_ms) }
	}
	const sentence = `close_after_ms is "${String(close_after_ms)}". Give a whole number of milliseconds from 0 to ${MAX_CLOSE_AFTER_MS}, or leave it out.`
	throw new PlanstreamError('bad_request', sentence, { path: 'close_after_ms' })
}

/**
 * What somebody subscribes to by a URL: the header `Last-Event-ID` wins over `last_event_id`, which wins over `after`.
 *
 * @throws PlanstreamError `bad_request` with the `path` of the parameter
 */
export function readSubscription({ plan_id, search, lastEventId }: SseRequest): SseSubscription {
	const { last_event_id, client_id, close_after_ms, ...query } = readQuery(search, PARAMETERS)
	const resumed = lastEventId?.slice(0, MAX_CURSOR) || positionText(last_event_id)
	const input = { ...query, plan_id, ...(resumed !== undefined && { lastEventId: resumed }) }
	const parsed = ROUTE.input.safeParse(input)
	if (parsed.success) return { input: parsed.data, reading: readReading(client_id, close_after_ms) }
	throw typedError(parsed.error, { procedure: 'plans.events', input })
}

const MAX_CLOSE_AFTER_MS = 60_000

/** No cursor is as long; what is cut off a longer header leaves something that is no cursor either. */
const MAX_CURSOR = 256

function positionText(text: unknown): string | undefined {
	if (typeof text !== 'string') return undefined
	const position = parsePosition(text)
	if (position !== null && typeof position === 'object') return text
	const sentence = `last_event_id is "${text.slice(0, MAX_CURSOR)}", which is no cursor. Send the id of the last event as you got it.`
	throw new PlanstreamError('bad_request', sentence, { path: 'last_event_id' })
}
