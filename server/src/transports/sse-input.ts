import { type ParsedSubscribeInput, PlanstreamError, parsePosition } from '@planstream/shared'
import { contract } from '@planstream/shared/schemas'
import { readClientId } from '../api/client-id.js'
import { typedError } from '../api/errors.js'
import { queryParameters, readQuery } from '../api/query.js'
import { pathFields } from '../api/rest.js'

const ROUTE = contract['plans.events']

/** `lastEventId` is tRPC's name; here the browser's header stands for it, and a parameter for those who cannot set one. */
const PARAMETERS = new Map([
	...queryParameters(ROUTE.input, [...pathFields(ROUTE), 'lastEventId']),
	['last_event_id', 'text'] as const,
	['client_id', 'text'] as const,
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
	/** What the reader calls itself. */
	readonly client_id: string | undefined
}

/**
 * What somebody subscribes to by a URL: the header `Last-Event-ID` wins over `last_event_id`, which wins over `after`.
 *
 * @throws PlanstreamError `bad_request` with the `path` of the parameter
 */
export function readSubscription({ plan_id, search, lastEventId }: SseRequest): SseSubscription {
	const { last_event_id, client_id, ...query } = readQuery(search, PARAMETERS)
	const resumed = lastEventId?.slice(0, MAX_CURSOR) || positionText(last_event_id)
	const input = { ...query, plan_id, ...(resumed !== undefined && { lastEventId: resumed }) }
	const parsed = ROUTE.input.safeParse(input)
	if (parsed.success) return { input: parsed.data, client_id: readClientId(client_id as string | undefined) }
	throw typedError(parsed.error, { procedure: 'plans.events', input })
}

/** No cursor is as long; what is cut off a longer header leaves something that is no cursor either. */
const MAX_CURSOR = 256

function positionText(text: unknown): string | undefined {
	if (typeof text !== 'string') return undefined
	const position = parsePosition(text)
	if (position !== null && typeof position === 'object') return text
	const sentence = `last_event_id is "${text.slice(0, MAX_CURSOR)}", which is no cursor. Send the id of the last event as you got it.`
	throw new PlanstreamError('bad_request', sentence, { path: 'last_event_id' })
}
