import { PlanstreamError, type PublishInput } from '@planstream/shared'
import { type Contract, contract, type ProcedureName } from '@planstream/shared/schemas'
import type { Hub } from '../hub/hub.js'
import type { Executor } from '../plans/executor.js'
import { listPlans } from './list-plans.js'
import { planEvents } from './plan-events.js'
import { baseProcedure, type OnProblem, t } from './procedure.js'
import type { Procedures } from './procedures.js'

/** What the procedures work with. */
export interface Services {
	readonly hub: Hub
	readonly executor: Executor
	/** Aborts with a {@link PlanstreamError} `draining` when the server stops: each stream then ends with a last `end` frame. */
	readonly draining: AbortSignal
	/** Told of every failure nobody foresaw, once. */
	readonly onProblem: OnProblem
}

export type AppRouter = ReturnType<typeof createRouter>

/** The one router behind every transport. */
export function createRouter({ hub, executor, draining, onProblem }: Services) {
	const procedure = (name: ProcedureName) => baseProcedure(name, onProblem)
	const procedures = {
		plans: {
			create: procedure('plans.create')
				.input(contract['plans.create'].input)
				.mutation(({ ctx, input }) => executor.create(ctx.principal, input)),
			start: procedure('plans.start')
				.input(contract['plans.start'].input)
				.mutation(({ ctx, input }) => executor.start(ctx.principal, input.plan_id)),
			get: procedure('plans.get')
				.input(contract['plans.get'].input)
				.query(async ({ ctx, input: { plan_id } }) => {
					const state = await hub.state(ctx.principal, plan_id)
					if (state !== null) return state
					throw new PlanstreamError('not_found', `There is no plan ${plan_id}. Check the id, or create the plan first.`, {
						plan_id,
					})
				}),
			list: procedure('plans.list')
				.input(contract['plans.list'].input)
				.query(({ ctx, input }) => listPlans(hub, ctx.principal, input)),
			events: procedure('plans.events')
				.input(contract['plans.events'].input)
				.subscription(async function* ({ ctx, input, signal = new AbortController().signal }) {
					yield* planEvents({ hub, principal: ctx.principal, carrier: ctx.carrier, input, signal, draining, onProblem })
				}),
		},
		events: {
			publish: procedure('events.publish')
				.input(contract['events.publish'].input)
				.mutation(({ ctx, input: { plan_id, events, expected_seq } }) => {
					const { events: sent } = ctx.sent as PublishInput
					return hub.publish(ctx.principal, { plan_id, events, sent, ...(expected_seq !== undefined && { expected_seq }) })
				}),
		},
		agents: {
			list: procedure('agents.list')
				.input(contract['agents.list'].input)
				.query(() => ({ agents: executor.agentTypes.map((agent_type) => ({ agent_type })) })),
		},
	} satisfies Procedures<Contract>
	return t.router(procedures)
}
