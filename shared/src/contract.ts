import * as z from 'zod'
import {
	agentsOutput,
	commandOutput,
	createInput,
	listInput,
	listOutput,
	planInput,
	publishInput,
	publishOutput,
	subscribeInput,
} from './commands.js'
import { planEvent } from './events.js'
import { controlFrame } from './frames.js'
import { planState } from './plans.js'

export type ProcedureKind = 'query' | 'mutation' | 'subscription'
export const SCOPES = ['plans:read', 'plans:write', 'events:publish', 'admin'] as const
export type Scope = (typeof SCOPES)[number]

/** One row of the contract: everything every transport, generator and document needs to know of a procedure. */
export interface ProcedureSpec {
	readonly kind: ProcedureKind
	readonly input: z.ZodType
	/** What it answers; for a subscription, one item of its stream. */
	readonly output: z.ZodType
	/** `{name}` stands for the input field of that name. */
	readonly rest: { readonly method: 'GET' | 'POST' | 'DELETE'; readonly path: `/${string}`; readonly status: number }
	/** What a caller must be allowed to do. */
	readonly scope: Scope
	/** One sentence for people. */
	readonly summary: string
}

/** The one table of procedures. REST routes, the client SDK and the descriptions are made from it, the tRPC router is held to it. */
export const contract = {
	'plans.create': {
		kind: 'mutation',
		input: createInput,
		output: commandOutput,
		rest: { method: 'POST', path: '/api/v1/plans', status: 201 },
		scope: 'plans:write',
		summary: 'Creates a plan and starts it.',
	},
	'plans.start': {
		kind: 'mutation',
		input: planInput,
		output: commandOutput,
		rest: { method: 'POST', path: '/api/v1/plans/{plan_id}/start', status: 200 },
		scope: 'plans:write',
		summary: 'Starts a plan that was created without being started.',
	},
	'plans.get': {
		kind: 'query',
		input: planInput,
		output: planState,
		rest: { method: 'GET', path: '/api/v1/plans/{plan_id}', status: 200 },
		scope: 'plans:read',
		summary: 'The state of a plan and of each of its steps.',
	},
	'plans.list': {
		kind: 'query',
		input: listInput,
		output: listOutput,
		rest: { method: 'GET', path: '/api/v1/plans', status: 200 },
		scope: 'plans:read',
		summary: 'The plans, newest first, a page at a time.',
	},
	'plans.events': {
		kind: 'subscription',
		input: subscribeInput,
		output: z.union([planEvent, controlFrame]),
		rest: { method: 'GET', path: '/api/v1/streaming/plans/{plan_id}/events', status: 200 },
		scope: 'plans:read',
		summary: 'Every event of a plan behind a position, then each new one, until the plan is done.',
	},
	'events.publish': {
		kind: 'mutation',
		input: publishInput,
		output: publishOutput,
		rest: { method: 'POST', path: '/api/v1/streaming/plans/{plan_id}/events', status: 200 },
		scope: 'events:publish',
		summary: 'Adds events of a plan that is run elsewhere; answers when they are durable.',
	},
	'agents.list': {
		kind: 'query',
		input: z.strictObject({}),
		output: agentsOutput,
		rest: { method: 'GET', path: '/api/v1/agents', status: 200 },
		scope: 'plans:read',
		summary: 'The agents a step may name as its `agent_type`.',
	},
} as const satisfies Record<string, ProcedureSpec>

export type Contract = typeof contract
export type ProcedureName = keyof Contract
