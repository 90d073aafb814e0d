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
/** Each scope allows its own calls only. `operator` concerns the server and no call of a tenant. */
export const SCOPES = ['plans:read', 'plans:write', 'events:publish', 'admin', 'operator'] as const
export type Scope = (typeof SCOPES)[number]

/** One row of the contract: everything that transports, generators and documents need to know about a procedure. */
export interface ProcedureSpec {
	readonly kind: ProcedureKind
	readonly input: z.ZodType
	/** Schema of the answer, or of one item for a subscription. */
	readonly output: z.ZodType
	/** `{name}` stands for the input field of that name. */
	readonly rest: { readonly method: 'GET' | 'POST' | 'DELETE'; readonly path: `/${string}`; readonly status: number }
	/** The scope that a caller needs. */
	readonly scope: Scope
	/** One sentence for the documents and the SDK. */
	readonly summary: string
}

/** The table of all procedures. REST routes, the client SDK and the descriptions are made from it; the types of the tRPC router must match it. */
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
		summary: 'Pauses a plan; `plan_paused` follows once no step runs.',
	},
	'plans.resume': {
		kind: 'mutation',
		input: commandInput,
		output: commandOutput,
		rest: { method: 'POST', path: '/api/v1/plans/{plan_id}/resume', status: 200 },
		scope: 'plans:write',
		summary: 'Resumes a paused plan.',
	},
	'plans.cancel': {
		kind: 'mutation',
		input: cancelInput,
		output: commandOutput,
		rest: { method: 'POST', path: '/api/v1/plans/{plan_id}/cancel', status: 200 },
		scope: 'plans:write',
		summary: 'Cancels a plan; `plan_cancelled` follows once no step runs.',
	},
	'plans.retry': {
		kind: 'mutation',
		input: commandInput,
		output: commandOutput,
		rest: { method: 'POST', path: '/api/v1/plans/{plan_id}/retry', status: 200 },
		scope: 'plans:write',
		summary: 'Reopens a failed or cancelled plan and reruns the steps that did not succeed.',
	},
	'plans.modify': {
		kind: 'mutation',
		input: modifyInput,
		output: commandOutput,
		rest: { method: 'POST', path: '/api/v1/plans/{plan_id}/modify', status: 200 },
		scope: 'plans:write',
		summary: 'Edits the steps of a plan, even while it runs; all edits apply or none.',
	},
	'plans.clone': {
		kind: 'mutation',
		input: cloneInput,
		output: commandOutput,
		rest: { method: 'POST', path: '/api/v1/plans/{plan_id}/clone', status: 201 },
		scope: 'plans:write',
		summary: 'Creates a new plan from the current steps of another.',
	},
	'plans.delete': {
		kind: 'mutation',
		input: planInput,
		output: deleteOutput,
		rest: { method: 'DELETE', path: '/api/v1/plans/{plan_id}', status: 200 },
		scope: 'plans:write',
		summary: 'Deletes a finished plan with its whole history.',
	},
	'plans.get': {
		kind: 'query',
		input: planInput,
		output: planState,
		rest: { method: 'GET', path: '/api/v1/plans/{plan_id}', status: 200 },
		scope: 'plans:read',
		summary: 'Returns the state of a plan and its steps.',
	},
	'plans.result': {
		kind: 'query',
		input: planInput,
		output: planResultOutput,
		rest: { method: 'GET', path: '/api/v1/plans/{plan_id}/result', status: 200 },
		scope: 'plans:read',
		summary: 'Returns the full result of a completed plan.',
	},
	'plans.list': {
		kind: 'query',
		input: listInput,
		output: listOutput,
		rest: { method: 'GET', path: '/api/v1/plans', status: 200 },
		scope: 'plans:read',
		summary: 'Lists plans, newest first, a page at a time.',
	},
	'plans.events': {
		kind: 'subscription',
		input: subscribeInput,
		output: z.union([planEvent, controlFrame]),
		rest: { method: 'GET', path: '/api/v1/streaming/plans/{plan_id}/events', status: 200 },
		scope: 'plans:read',
		summary: 'Streams every event of a plan after a position, then each new one, until the plan is done.',
	},
	'plans.changes': {
		kind: 'subscription',
		input: changesInput,
		output: changesOutput,
		rest: { method: 'GET', path: '/api/v1/streaming/plans/changes', status: 200 },
		scope: 'plans:read',
		summary: 'Streams the newest plans, then the changes among them.',
	},
	'plans.history': {
		kind: 'query',
		input: historyInput,
		output: historyOutput,
		rest: { method: 'GET', path: '/api/v1/streaming/plans/{plan_id}/history', status: 200 },
		scope: 'plans:read',
		summary: 'Returns the events of a plan a page at a time, and can wait for the next one.',
	},
	'plans.subscribers': {
		kind: 'query',
		input: planInput,
		output: subscribersOutput,
		rest: { method: 'GET', path: '/api/v1/streaming/plans/{plan_id}/subscribers', status: 200 },
		scope: 'plans:read',
		summary: 'Counts the open subscriptions to a plan.',
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
		summary: 'Retries a step; with `cascade`, also the steps that used its result.',
	},
	'steps.skip': {
		kind: 'mutation',
		input: skipStepInput,
		output: commandOutput,
		rest: { method: 'POST', path: '/api/v1/plans/{plan_id}/steps/{step_id}/skip', status: 200 },
		scope: 'plans:write',
		summary: 'Skips a step; the plan continues without its result.',
	},
	'steps.result': {
		kind: 'query',
		input: stepInput,
		output: stepResultOutput,
		rest: { method: 'GET', path: '/api/v1/plans/{plan_id}/steps/{step_id}/result', status: 200 },
		scope: 'plans:read',
		summary: 'Returns the full result of a completed step.',
	},
	'reviews.list': {
		kind: 'query',
		input: planInput,
		output: reviewsOutput,
		rest: { method: 'GET', path: '/api/v1/plans/{plan_id}/reviews', status: 200 },
		scope: 'plans:read',
		summary: 'Lists the open reviews of a plan with the results to review.',
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
		summary: 'Publishes events of an external plan; answers when they are durable.',
	},
	'clients.list': {
		kind: 'query',
		input: z.strictObject({}).prefault({}),
		output: clientsOutput,
		rest: { method: 'GET', path: '/api/v1/streaming/clients', status: 200 },
		scope: 'plans:read',
		summary: 'Lists the connected clients and the plans they follow.',
	},
	'admin.verify': {
		kind: 'query',
		input: verifyInput,
		output: verifyOutput,
		rest: { method: 'GET', path: '/api/v1/admin/plans/{plan_id}/verify', status: 200 },
		scope: 'admin',
		summary: 'Checks every stored event of a plan against its fingerprint.',
	},
	'agents.list': {
		kind: 'query',
		input: z.strictObject({}).prefault({}),
		output: agentsOutput,
		rest: { method: 'GET', path: '/api/v1/agents', status: 200 },
		scope: 'plans:read',
		summary: 'Lists the agents that a step may name as its `agent_type`.',
	},
} as const satisfies Record<string, ProcedureSpec>

/** A route whose body is a stream of lines, which a procedure cannot carry. */
export interface StreamRoute {
	readonly rest: ProcedureSpec['rest']
	readonly scope: Scope
	readonly summary: string
}

/** The routes outside the contract that export and import archives. */
export const archiveRoutes = {
	export: {
		rest: { method: 'GET', path: '/api/v1/admin/plans/{plan_id}/export', status: 200 },
		scope: 'admin',
		summary: 'Exports the log of a plan and its files as JSON lines.',
	},
	import: {
		rest: { method: 'POST', path: '/api/v1/admin/import', status: 201 },
		scope: 'admin',
		summary: 'Imports a plan from the JSON lines of an export.',
	},
} as const satisfies Record<string, StreamRoute>

export type Contract = typeof contract
export type ProcedureName = keyof Contract
