import { PlanstreamError } from '@planstream/shared'
import { type ClientMessage, clientMessage, planInput } from '@planstream/shared/schemas'
import { checkJson } from '../api/border.js'
import { readClientId } from '../api/client-id.js'
import { typedError } from '../api/errors.js'
import { type QueryParameters, readQuery } from '../api/query.js'

/** Where the plain WebSocket is. */
export const WEBSOCKET_PATH = '/api/v1/streaming/ws/{client_id}'

const ACTIONS = clientMessage.options.map(({ shape }) => shape.action.value)
const PARAMETERS: QueryParameters = new Map([['plan_id', 'texts']])

export interface WebSocketAddress {
	readonly client_id: string | undefined
	/** The plans to subscribe to at once. */
	readonly plan_ids: readonly string[]
}

/**
 * What stands in the address of an upgrade.
 *
 * @throws PlanstreamError `bad_request` with the `path` of what is wrong
 */
export function readAddress(url: string): WebSocketAddress {
	const { pathname, search } = new URL(url, 'http://localhost')
	const client_id = readClientId(decoded(pathname.split('/').at(-1) ?? ''))
	const { plan_id = [] } = readQuery(search, PARAMETERS) as { plan_id?: string[] }
	const plan_ids = [...new Set(plan_id)].map((given) => {
		const parsed = planInput.safeParse({ plan_id: given })
		if (parsed.success) return parsed.data.plan_id
		throw typedError(parsed.error, { input: { plan_id: given } })
	})
	return { client_id, plan_ids }
}

function decoded(segment: string): string {
	try {
		return decodeURIComponent(segment)
	} catch {
		return segment
	}
}

/**
 * What a client says in a frame.
 *
 * @throws PlanstreamError `bad_request`
 */
export function readMessage(data: Buffer, isBinary: boolean): ClientMessage {
	if (isBinary) throw new PlanstreamError('bad_request', 'The frame is binary. Send JSON in a text frame.')
	const value = parse(data.toString())
	checkJson(value)
	const parsed = clientMessage.safeParse(value)
	if (parsed.success) return parsed.data
	throw typedError(parsed.error, { input: value })
}

/** Why a frame was refused, always with what is `allowed`. */
export function frameRefusal(thrown: unknown): PlanstreamError {
	const error = typedError(thrown)
	return new PlanstreamError(error.code, error.message, { allowed: ACTIONS, ...error.facts }, { cause: error.cause })
}

function parse(text: string): unknown {
	try {
		return JSON.parse(text)
	} catch (cause) {
		const sentence = 'The frame is not JSON. Send one object a frame, such as {"action":"subscribe","plan_id":"plan_123"}.'
		throw new PlanstreamError('bad_request', sentence, {}, { cause })
	}
}
