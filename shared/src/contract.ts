import * as z from 'zod'
import {
	agentsOutput,
	cancelInput,
	changesInput,
	changesOutput,
	clearOutput,
	clientsOutput,
	cloneInput,
	commandInput,
	commandOutput,
	createInput,
	deleteOutput,
	historyInput,
	historyOutput,
	listInput,
	listOutput,
	modifyInput,
	pauseInput,
	planInput,
	planResultOutput,
	publishInput,
	publishOutput,
	retryStepInput,
	reviewInput,
	reviewsOutput,
	skipStepInput,
	stepInput,
	stepResultOutput,
	subscribeInput,
	subscribersOutput,
	verifyInput,
	verifyOutput,
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
		input: commandInput,
		output: commandOutput,
		rest: { method: 'POST', path: '/api/v1/plans/{plan_id}/start', status: 200 },
		scope: 'plans:write',
		summary: 'Starts a plan that was created without being started.',
	},
	'plans.pause': {
		kind: 'mutation',
		input: pauseInput,
		output: commandOutput,
		rest: { method: 'POST', path: '/api/v1/plans/{plan_id}/pause', status: 200 },
		scope: 'plans:write',
		summary: 'Pauses a plan; plan_paused says when nothing runs any more.',
	},
	'plans.resume': {
		kind: 'mutation',
		input: commandInput,
		output: commandOutput,
		rest: { method: 'POST', path: '/api/v1/plans/{plan_id}/resume', status: 200 },
		scope: 'plans:write',
		summary: 'Goes on with a paused plan.',
	},
	'plans.cancel': {
		kind: 'mutation',
		input: cancelInput,
		output: commandOutput,
		rest: { method: 'POST', path: '/api/v1/plans/{plan_id}/cancel', status: 200 },
		scope: 'plans:write',
		summary: 'Cancels a plan; plan_cancelled says when nothing runs any more.',
	},
	'plans.retry': {
		kind: 'mutation',
		input: commandInput,
		output: commandOutput,
		rest: { method: 'POST', path: '/api/v1/plans/{plan_id}/retry', status: 200 },
		scope: 'plans:write',
		summary: 'Reopens a failed or cancelled plan and runs again what did not succeed.',
	},
	'plans.modify': {
		kind: 'mutation',
		input: modifyInput,
		output: commandOutput,
		rest: { method: 'POST', path: '/api/v1/plans/{plan_id}/modify', status: 200 },
		scope: 'plans:write',
		summary: 'Edits the steps of a plan, also while it runs, all or nothing.',
	},
	'plans.clone': {
		kind: 'mutation',
		input: cloneInput,
		output: commandOutput,
		rest: { method: 'POST', path: '/api/v1/plans/{plan_id}/clone', status: 201 },
		scope: 'plans:write',
		summary: 'Makes a new plan from a plan as it stands.',
	},
	'plans.delete': {
		kind: 'mutation',
		input: planInput,
		output: deleteOutput,
		rest: { method: 'DELETE', path: '/api/v1/plans/{plan_id}', status: 200 },
		scope: 'plans:write',
		summary: 'Removes a finished plan with its whole history.',
	},
	'plans.get': {
		kind: 'query',
		input: planInput,
		output: planState,
		rest: { method: 'GET', path: '/api/v1/plans/{plan_id}', status: 200 },
		scope: 'plans:read',
		summary: 'The state of a plan and of each of its steps.',
	},
	'plans.result': {
		kind: 'query',
		input: planInput,
		output: planResultOutput,
		rest: { method: 'GET', path: '/api/v1/plans/{plan_id}/result', status: 200 },
		scope: 'plans:read',
		summary: 'The whole result of a completed plan.',
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
	'plans.changes': {
		kind: 'subscription',
		input: changesInput,
		output: changesOutput,
		rest: { method: 'GET', path: '/api/v1/streaming/plans/changes', status: 200 },
		scope: 'plans:read',
		summary: 'The newest plans, then what changes among them.',
	},
	'plans.history': {
		kind: 'query',
		input: historyInput,
		output: historyOutput,
		rest: { method: 'GET', path: '/api/v1/streaming/plans/{plan_id}/history', status: 200 },
		scope: 'plans:read',
		summary: 'The events of a plan a page at a time; waits for the next one when asked to.',
	},
	'plans.subscribers': {
		kind: 'query',
		input: planInput,
		output: subscribersOutput,
		rest: { method: 'GET', path: '/api/v1/streaming/plans/{plan_id}/subscribers', status: 200 },
		scope: 'plans:read',
		summary: 'How many subscriptions to a plan are open.',
	},
	'plans.clear': {
		kind: 'mutation',
		input: planInput,
		output: clearOutput,
		rest: { method: 'DELETE', path: '/api/v1/streaming/plans/{plan_id}/history', status: 200 },
		scope: 'plans:write',
		summary: 'Drops the events of a finished plan and keeps its state.',
	},
	'steps.retry': {
		kind: 'mutation',
		input: retryStepInput,
		output: commandOutput,
		rest: { method: 'POST', path: '/api/v1/plans/{plan_id}/steps/{step_id}/retry', status: 200 },
		scope: 'plans:write',
		summary: 'Runs a step again, and with cascade what was made from its result.',
	},
	'steps.skip': {
		kind: 'mutation',
		input: skipStepInput,
		output: commandOutput,
		rest: { method: 'POST', path: '/api/v1/plans/{plan_id}/steps/{step_id}/skip', status: 200 },
		scope: 'plans:write',
		summary: 'Counts a step as done without a result.',
	},
	'steps.result': {
		kind: 'query',
		input: stepInput,
		output: stepResultOutput,
		rest: { method: 'GET', path: '/api/v1/plans/{plan_id}/steps/{step_id}/result', status: 200 },
		scope: 'plans:read',
		summary: 'The whole result of a completed step.',
	},
	'reviews.list': {
		kind: 'query',
		input: planInput,
		output: reviewsOutput,
		rest: { method: 'GET', path: '/api/v1/plans/{plan_id}/reviews', status: 200 },
		scope: 'plans:read',
		summary: 'The open reviews of a plan with what is to be reviewed.',
	},
	'reviews.answer': {
		kind: 'mutation',
		input: reviewInput,
		output: commandOutput,
		rest: { method: 'POST', path: '/api/v1/plans/{plan_id}/reviews/{review_id}', status: 200 },
		scope: 'plans:write',
		summary: 'Answers a review: approve, reject, or edit the result.',
	},
	'events.publish': {
		kind: 'mutation',
		input: publishInput,
		output: publishOutput,
		rest: { method: 'POST', path: '/api/v1/streaming/plans/{plan_id}/events', status: 200 },
		scope: 'events:publish',
		summary: 'Adds events of a plan that is run elsewhere; answers when they are durable.',
	},
	'clients.list': {
		kind: 'query',
		input: z.strictObject({}).prefault({}),
		output: clientsOutput,
		rest: { method: 'GET', path: '/api/v1/streaming/clients', status: 200 },
		scope: 'plans:read',
		summary: 'Who is connected, and to which plans.',
	},
	'admin.verify': {
		kind: 'query',
		input: verifyInput,
		output: verifyOutput,
		rest: { method: 'GET', path: '/api/v1/admin/plans/{plan_id}/verify', status: 200 },
		scope: 'admin',
		summary: 'Compares every stored event of a plan with its fingerprint.',
	},
	'agents.list': {
		kind: 'query',
		input: z.strictObject({}).prefault({}),
		output: agentsOutput,
		rest: { method: 'GET', path: '/api/v1/agents', status: 200 },
		scope: 'plans:read',
		summary: 'The agents a step may name as its `agent_type`.',
	},
} as const satisfies Record<string, ProcedureSpec>

/** A route whose body is a stream of lines, which no procedure can carry. */
export interface StreamRoute {
	readonly rest: ProcedureSpec['rest']
	readonly scope: Scope
	readonly summary: string
}

/** The routes beside the contract that take or give an archive. */
export const archiveRoutes = {
	export: {
		rest: { method: 'GET', path: '/api/v1/admin/plans/{plan_id}/export', status: 200 },
		scope: 'admin',
		summary: 'The log of a plan and its files as JSON lines.',
	},
	import: {
		rest: { method: 'POST', path: '/api/v1/admin/import', status: 201 },
		scope: 'admin',
		summary: 'Makes a plan of the JSON lines that an export gave.',
	},
} as const satisfies Record<string, StreamRoute>

export type Contract = typeof contract
export type ProcedureName = keyof Contract
