import { type JsonSchema, makeDefinitions } from '@planstream/shared/schemas'
import type { Part } from './other-paths.js'

const SCHEMAS = '#/components/schemas/'

/** Every stream with every event and frame in it, as an AsyncAPI 3.0 document. */
export function describeStreams(version: string): Part {
	const schemas = makeDefinitions(SCHEMAS, 'draft-7')
	const messages = Object.fromEntries(describeMessages(schemas))
	const events = Object.keys(messages).filter((name) => name.endsWith('Event') || name.endsWith('Frame'))
	const channels = describeChannels(events, schemas)
	return {
		asyncapi: '3.0.0',
		info: {
			title: 'Planstream',
			version,
			description:
				'The streams of plans. A frame says something of the stream, an event something of the plan; resume with the cursor of the last one seen.',
			license: { name: 'MIT' },
		},
		defaultContentType: 'application/json',
		channels,
		operations: describeOperations(channels),
		components: { messages, schemas },
	}
}

/** A message for every event, frame and action, and for an item of the plan list. */
function describeMessages(schemas: Readonly<Record<string, JsonSchema>>): [string, Part][] {
	const union = (name: string) => {
		const { oneOf = [], anyOf = [] } = schemas[name] ?? {}
		return [...oneOf, ...anyOf].map(({ $ref = '' }) => $ref.slice(SCHEMAS.length))
	}
	const payloads = [...union('PlanEvent'), ...union('ControlFrame'), ...union('ClientMessage'), 'ChangesOutput']
	return payloads.map((name) => [
		name,
		{ name, summary: schemas[name]?.description ?? name, payload: { $ref: `${SCHEMAS}${name}` } },
	])
}

interface Channel extends Part {
	readonly messages: Readonly<Record<string, Part>>
}

function describeChannels(events: readonly string[], schemas: Readonly<Record<string, JsonSchema>>): Record<string, Channel> {
	const actions = (schemas.ClientMessage?.oneOf ?? []).map(({ $ref = '' }) => $ref.slice(SCHEMAS.length))
	const plan_id = { description: 'The plan to follow.' }
	return {
		planEvents: {
			address: '/api/v1/streaming/plans/{plan_id}/events',
			title: 'Server-sent events of one plan',
			description:
				'An event has `id: CURSOR` and `data: JSON` and no `event:` line; a frame has `event: ready|position|end|problem`. The query takes what /openapi.json says.',
			parameters: { plan_id },
			messages: referTo(events),
		},
		planChanges: {
			address: '/api/v1/streaming/plans/changes',
			title: 'Server-sent events of the plan list',
			messages: referTo(['ChangesOutput']),
		},
		planWebSocket: {
			address: '/api/v1/streaming/ws/{client_id}',
			title: 'WebSocket of any number of plans',
			description: 'Text frames, each one event or frame; plans are subscribed to by `?plan_id=` (repeatable) or by an action.',
			parameters: { client_id: { description: 'A name you give your client; the registry shows it.' } },
			messages: referTo([...events, ...actions]),
			bindings: {
				ws: { method: 'GET', query: { type: 'object', properties: { plan_id: { type: 'array', items: { type: 'string' } } } } },
			},
		},
	}
}

function referTo(names: readonly string[]): Record<string, Part> {
	return Object.fromEntries(names.map((name) => [name, { $ref: `#/components/messages/${name}` }]))
}

/** What the server sends on each channel, and what it takes. */
function describeOperations(channels: Readonly<Record<string, Channel>>): Record<string, Part> {
	const operation = (action: 'send' | 'receive', channel: string, messages: readonly string[]): Part => ({
		action,
		channel: { $ref: `#/channels/${channel}` },
		messages: messages.map((name) => ({ $ref: `#/channels/${channel}/messages/${name}` })),
	})
	const operations = Object.entries(channels).flatMap(([channel, { messages }]): [string, Part][] => {
		const taken = Object.keys(messages).filter((name) => name.endsWith('Action'))
		const sent = Object.keys(messages).filter((name) => !taken.includes(name))
		const send: [string, Part] = [`${channel}.send`, operation('send', channel, sent)]
		return taken.length === 0 ? [send] : [send, [`${channel}.receive`, operation('receive', channel, taken)]]
	})
	return Object.fromEntries(operations)
}
