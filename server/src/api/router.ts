import type { PublishInput } from '@planstream/shared'
import { type Contract, type commandInput, contract, type ProcedureName } from '@planstream/shared/schemas'
import type * as z from 'zod'
import type { Connections } from '../connections/registry.js'
import type { Schedule } from '../connections/schedule.js'
import type { Hub } from '../hub/hub.js'
import type { Command } from '../plans/decision.js'
import type { Executor } from '../plans/executor.js'
import { clearPlan, deletePlan } from '../plans/finished.js'
import { admitted } from './admission.js'
import { listClients } from './client-list.js'
import type { Context } from './context.js'
import { listPlans } from './list-plans.js'
import { livePlanList } from './plan-changes.js'
import { PlanEvents } from './plan-events.js'
import { planHistory } from './plan-history.js'
import { foldOf, openReviews, planResult, stepResult } from './plan-reads.js'
import { baseProcedure, type OnProblem, t } from './procedure.js'
import type { Procedures } from './procedures.js'

/** What the procedures work with. */
export interface Services {
	readonly hub: Hub
	readonly executor: Executor
	readonly connections: Connections
	readonly schedule: Schedule
	/** Aborts with a {@link PlanstreamError} `draining` when the server stops: each stream then ends with a last `end` frame. */
	readonly draining: AbortSignal
	/** Told of every failure nobody foresaw, once. */
	readonly onProblem: OnProblem
}

type CommandInput = z.output<typeof commandInput>

export type AppRouter = ReturnType<typeof createRouter>

/**
 * The one router behind every transport.
 *
 * @param admit - whose a call is. @defaultValue the transport has said so
 */
export function createRouter({ hub, executor, connections, schedule, draining, onProblem }: Services, admit = admitted) {
	const procedure = (name: ProcedureName) => baseProcedure(name, onProblem, admit)
	const command = (
		ctx: Pick<Context, 'principal'>,
		{ plan_id, idempotency_key, expected_revision }: CommandInput,
		asked: Command,
	) => executor.command(ctx.principal, plan_id, asked, { idempotency_key, expected_revision })
	const procedures = {
		plans: {
			create: procedure('plans.create')
				.input(contract['plans.create'].input)
				.mutation(({ ctx, input }) => executor.create(ctx.principal, input)),
			start: procedure('plans.start')
				.input(contract['plans.start'].input)
				.mutation(({ ctx, input }) => command(ctx, input, { kind: 'start' })),
			pause: procedure('plans.pause')
				.input(contract['plans.pause'].input)
				.mutation(({ ctx, input }) => command(ctx, input, { kind: 'pause', mode: input.mode, reason: input.reason })),
			resume: procedure('plans.resume')
				.input(contract['plans.resume'].input)
				.mutation(({ ctx, input }) => command(ctx, input, { kind: 'resume' })),
			cancel: procedure('plans.cancel')
				.input(contract['plans.cancel'].input)
				.mutation(({ ctx, input }) => command(ctx, input, { kind: 'cancel', reason: input.reason })),
			retry: procedure('plans.retry')
				.input(contract['plans.retry'].input)
				.mutation(({ ctx, input }) => command(ctx, input, { kind: 'retry' })),
			modify: procedure('plans.modify')
				.input(contract['plans.modify'].input)
				.mutation(({ ctx, input }) => command(ctx, input, { kind: 'modify', ops: input.ops })),
			clone: procedure('plans.clone')
				.input(contract['plans.clone'].input)
				.mutation(({ ctx, input: { plan_id, new_plan_id, ...given } }) =>
					executor.clone(ctx.principal, plan_id, { ...given, plan_id: new_plan_id }),
				),
			delete: procedure('plans.delete')
				.input(contract['plans.delete'].input)
				.mutation(({ ctx, input: { plan_id } }) => deletePlan(hub, ctx.principal, plan_id)),
			get: procedure('plans.get')
				.input(contract['plans.get'].input)
				.query(async ({ ctx, input: { plan_id } }) => (await foldOf(hub, ctx.principal, plan_id)).state),
			clear: procedure('plans.clear')
				.input(contract['plans.clear'].input)
				.mutation(({ ctx, input: { plan_id } }) => clearPlan(hub, ctx.principal, plan_id)),
			result: procedure('plans.result')
				.input(contract['plans.result'].input)
				.query(({ ctx, input: { plan_id } }) => planResult(hub, ctx.principal, plan_id)),
			list: procedure('plans.list')
				.input(contract['plans.list'].input)
				.query(({ ctx, input }) => listPlans(hub, ctx.principal, input)),
			events: procedure('plans.events')
				.input(contract['plans.events'].input)
				.subscription(
					({ ctx: { principal }, input, signal }) => new PlanEvents({ hub, principal, input, signal, draining, onProblem }),
				),
			changes: procedure('plans.changes')
				.input(contract['plans.changes'].input)
				.subscription(async function* ({ ctx, input, signal = new AbortController().signal }) {
					yield* livePlanList({ principal: ctx.principal, input, signal, hub, draining, schedule, onProblem })
				}),
			history: procedure('plans.history')
				.input(contract['plans.history'].input)
				.query(({ ctx, input, signal }) => {
					const ends = [signal, draining, ctx.principal.expired].filter((end) => end !== undefined)
					return planHistory({ hub, principal: ctx.principal, input, ends, schedule })
				}),
			subscribers: procedure('plans.subscribers')
				.input(contract['plans.subscribers'].input)
				.query(({ ctx, input: { plan_id } }) => {
					return { plan_id, subscriber_count: connections.subscribers(ctx.principal.tenant, plan_id) }
				}),
		},
		steps: {
			retry: procedure('steps.retry')
				.input(contract['steps.retry'].input)
				.mutation(({ ctx, input }) =>
					command(ctx, input, { kind: 'retry_step', step_id: input.step_id, cascade: input.cascade }),
				),
			skip: procedure('steps.skip')
				.input(contract['steps.skip'].input)
				.mutation(({ ctx, input }) => command(ctx, input, { kind: 'skip_step', step_id: input.step_id, reason: input.reason })),
			result: procedure('steps.result')
				.input(contract['steps.result'].input)
				.query(({ ctx, input }) => stepResult(hub, ctx.principal, input)),
		},
		reviews: {
			list: procedure('reviews.list')
				.input(contract['reviews.list'].input)
				.query(({ ctx, input }) => openReviews(hub, ctx.principal, input.plan_id)),
			answer: procedure('reviews.answer')
				.input(contract['reviews.answer'].input)
				.mutation(({ ctx, input }) =>
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
			publish: procedure('events.publish')
				.input(contract['events.publish'].input)
				.mutation(({ ctx, input: { plan_id, events, expected_seq } }) => {
					const { events: sent } = ctx.sent as PublishInput
					return hub.publish(ctx.principal, { plan_id, events, sent, ...(expected_seq !== undefined && { expected_seq }) })
				}),
		},
		clients: {
			list: procedure('clients.list')
				.input(contract['clients.list'].input)
				.query(({ ctx }) => listClients(connections, ctx.principal)),
		},
		admin: {
			verify: procedure('admin.verify')
				.input(contract['admin.verify'].input)
				.query(({ ctx, input: { plan_id } }) => hub.verify(ctx.principal, plan_id)),
		},
		agents: {
			list: procedure('agents.list')
				.input(contract['agents.list'].input)
				.query(() => ({ agents: [...executor.agents] })),
		},
	} satisfies Procedures<Contract>
	return t.router(procedures)
}
