import type { ClientsOutput, PublishInput } from '@planstream/shared'
import type { Contract, commandInput, ProcedureName, ProcedureSpec, Wire } from '@planstream/shared/schemas'
import type { TRPCMutationProcedure, TRPCQueryProcedure, TRPCSubscriptionProcedure } from '@trpc/server'
import type * as z from 'zod'
import type { AnswerBudget } from '../connections/answer-budget.js'
import type { Connections } from '../connections/connections.js'
import type { Hub } from '../hub/hub.js'
import type { Principal } from '../hub/principal.js'
import { listFiles, verifyPlan } from '../hub/verify.js'
import { type EventLog, PAGE_BYTES } from '../log/event-log.js'
import type { Schedule } from '../ops/clock.js'
import type { Artifacts } from '../plans/artifacts.js'
import type { Executor } from '../plans/executor.js'
import { clearPlan, deletePlan } from '../plans/remove.js'
import type { Command } from '../plans/rules/input.js'
import { authenticate, type Context, createProcedure, type OnProblem, t } from './procedure.js'
import { listOpenReviews, listPlans, readFold, readPlanResult, readStepResult } from './reads.js'
import { PlanChanges, PlanEvents, readHistory } from './streams.js'

/** Lists the connected clients of the caller's tenant. A client with two connections counts once. */
function listClients(connections: Connections, { tenant }: Principal): ClientsOutput {
	const report = connections.report(tenant)
	const clients = [...new Set(report.map(({ client_id }) => client_id))]
	return { client_count: clients.length, clients, connections: [...report] }
}

/** The procedures of a contract as a nested record, `plans.get` as `{ plans: { get } }`: none missing, none extra. */
export type Procedures<Table extends Record<string, ProcedureSpec>> = {
	[Group in GroupOf<keyof Table & string>]: {
		[Name in keyof Table & `${Group}.${string}` as OwnName<Name>]: ProcedureOf<Table[Name]>
	}
}

type GroupOf<Name extends string> = Name extends `${infer Group}.${string}` ? Group : never
type OwnName<Name> = Name extends `${string}.${infer Own}` ? Own : never

type ProcedureOf<Spec extends ProcedureSpec> = Spec['kind'] extends 'query'
	? TRPCQueryProcedure<Typed<Spec, Answer<Spec>>>
	: Spec['kind'] extends 'mutation'
		? TRPCMutationProcedure<Typed<Spec, Answer<Spec>>>
		: TRPCSubscriptionProcedure<Typed<Spec, AsyncIterable<Item<Spec>, void, unknown>>>

/** Items of a resumable stream carry an id. */
type Item<Spec extends ProcedureSpec> = 'lastEventId' extends keyof z.input<Spec['input']>
	? { id: string; data: Answer<Spec> }
	: Answer<Spec>

type Answer<Spec extends ProcedureSpec> = Wire<z.output<Spec['output']>>

interface Typed<Spec extends ProcedureSpec, Output> {
	input: z.input<Spec['input']>
	output: Output
	meta: unknown
	errorShape: unknown
}

/** Services behind the procedures. */
export interface Services {
	readonly hub: Hub
	readonly log: EventLog
	readonly executor: Executor
	readonly artifacts: Artifacts
	readonly connections: Connections
	/** Budget for the bytes of answers that clients have not read. */
	readonly answers: AnswerBudget
	readonly schedule: Schedule
	/** Aborts with a {@link PlanstreamError} `draining` when the server stops; each stream then ends with an `end` frame. */
	readonly draining: AbortSignal
	/** Called once for each unexpected failure. */
	readonly onProblem: OnProblem
}

type CommandInput = z.output<typeof commandInput>

export type AppRouter = ReturnType<typeof createRouter>

/**
 * Creates the router behind every transport.
 *
 * @param admit - authenticates a call. @defaultValue the transport has done so
 */
export function createRouter(services: Services, admit = authenticate) {
	const { hub, log, executor, artifacts, answers, connections, schedule, draining, onProblem } = services
	const procedure = <Name extends ProcedureName>(name: Name) => createProcedure(name, services, admit)
	const command = (
		ctx: Pick<Context, 'principal'>,
		{ plan_id, idempotency_key, expected_revision }: CommandInput,
		requested: Command,
	) => executor.command(ctx.principal, plan_id, requested, { idempotency_key, expected_revision })
	const procedures = {
		plans: {
			create: procedure('plans.create').mutation(({ ctx, input }) => executor.create(ctx.principal, input)),
			start: procedure('plans.start').mutation(({ ctx, input }) => command(ctx, input, { kind: 'start' })),
			pause: procedure('plans.pause').mutation(({ ctx, input }) =>
				command(ctx, input, { kind: 'pause', mode: input.mode, reason: input.reason }),
			),
			resume: procedure('plans.resume').mutation(({ ctx, input }) => command(ctx, input, { kind: 'resume' })),
			cancel: procedure('plans.cancel').mutation(({ ctx, input }) =>
				command(ctx, input, { kind: 'cancel', reason: input.reason }),
			),
			retry: procedure('plans.retry').mutation(({ ctx, input }) => command(ctx, input, { kind: 'retry' })),
			modify: procedure('plans.modify').mutation(({ ctx, input }) => command(ctx, input, { kind: 'modify', ops: input.ops })),
			clone: procedure('plans.clone').mutation(({ ctx, input: { plan_id, new_plan_id, ...given } }) =>
				executor.clone(ctx.principal, plan_id, { ...given, plan_id: new_plan_id }),
			),
			delete: procedure('plans.delete').mutation(({ ctx, input: { plan_id } }) => deletePlan(hub, ctx.principal, plan_id)),
			get: procedure('plans.get').query(
				async ({ ctx, input: { plan_id } }) => (await readFold(hub, ctx.principal, plan_id)).state,
			),
			clear: procedure('plans.clear').mutation(({ ctx, input: { plan_id } }) => clearPlan(hub, ctx.principal, plan_id)),
			result: procedure('plans.result').query(({ ctx, input: { plan_id } }) => readPlanResult(hub, ctx.principal, plan_id)),
			list: procedure('plans.list').query(({ ctx, input }) => listPlans(hub, ctx.principal, input)),
			events: procedure('plans.events').subscription(
				({ ctx: { principal }, input, signal }) => new PlanEvents({ hub, principal, input, signal, draining, onProblem }),
			),
			changes: procedure('plans.changes').subscription(
				({ ctx: { principal, turns }, input, signal }) =>
					new PlanChanges({ principal, input, signal, hub, draining, schedule, answers, turns, onProblem }),
			),
			history: procedure('plans.history').query(({ ctx: { principal, turns }, input, signal }) =>
				readHistory({ hub, answers, principal, input, signal, draining, schedule, turns }),
			),
			subscribers: procedure('plans.subscribers').query(({ ctx, input: { plan_id } }) => {
				return { plan_id, subscriber_count: connections.countSubscribers(ctx.principal.tenant, plan_id) }
			}),
		},
		steps: {
			retry: procedure('steps.retry').mutation(({ ctx, input }) =>
				command(ctx, input, { kind: 'retry_step', step_id: input.step_id, cascade: input.cascade }),
			),
			skip: procedure('steps.skip').mutation(({ ctx, input }) =>
				command(ctx, input, { kind: 'skip_step', step_id: input.step_id, reason: input.reason }),
			),
			result: procedure('steps.result').query(({ ctx, input }) => readStepResult(hub, ctx.principal, input)),
		},
		reviews: {
			list: procedure('reviews.list').query(({ ctx, input }) => listOpenReviews(hub, ctx.principal, input.plan_id)),
			answer: procedure('reviews.answer').mutation(({ ctx, input }) =>
				command(ctx, input, {
					kind: 'review',
					review_id: input.review_id,
					decision: input.decision,
					comment: input.comment,
					payload: input.payload,
				}),
			),
		},
		events: {
			publish: procedure('events.publish').mutation(({ ctx, input: { plan_id, events, expected_seq } }) => {
				const { events: sent } = ctx.rawInput as PublishInput
				return hub.publish(ctx.principal, { plan_id, events, sent, ...(expected_seq !== undefined && { expected_seq }) })
			}),
		},
		clients: {
			list: procedure('clients.list').query(({ ctx }) => listClients(connections, ctx.principal)),
		},
		admin: {
			verify: procedure('admin.verify').query(({ ctx: { principal }, input: { plan_id } }) => {
				const { tenant } = principal
				const reserve = () => answers.reserve(tenant, PAGE_BYTES)
				return verifyPlan(log, { tenant, plan_id }, listFiles(hub, artifacts.of(tenant)), reserve)
			}),
		},
		agents: {
			list: procedure('agents.list').query(() => ({ agents: [...executor.agents] })),
		},
	} satisfies Procedures<Contract>
	return t.router(procedures)
}
