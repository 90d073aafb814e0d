import type { PlanEvent, PlanSpec, PlanState } from '@planstream/shared'
import { createInput } from '@planstream/shared/schemas'
import type { Hub } from '../hub/hub.js'
import { LOCAL_PRINCIPAL } from '../hub/principal.js'
import { parseEvent } from '../hub/stream.js'
import { createLogger } from '../ops/logger.js'
import type { Executor } from '../plans/executor.js'
import { type RunningServer, type ServerOptions, startServer } from '../server.js'

const RUN_MS = 30_000

/** Events and final state of a plan. */
export interface FinishedPlan {
	readonly events: readonly PlanEvent[]
	readonly state: PlanState
}

/** Creates a plan and resolves once it is done. Rejects when that takes longer than 30 seconds. */
export async function runPlan({ hub, executor }: { hub: Hub; executor: Executor }, spec: PlanSpec): Promise<FinishedPlan> {
	const { plan_id } = await executor.create(LOCAL_PRINCIPAL, createInput.parse(spec))
	const events = await eventsOf(hub, plan_id)
	const state = await hub.state(LOCAL_PRINCIPAL, plan_id)
	if (state === null) throw new Error(`The plan ${plan_id} was deleted while it ran.`)
	return { events, state }
}

/** Collects a plan's events from the first one until it is done. */
export async function eventsOf(hub: Hub, plan_id: string): Promise<PlanEvent[]> {
	const signal = AbortSignal.timeout(RUN_MS)
	const request = { after: 'start', snapshot: false, follow: 'until_done', signal } as const
	const events: PlanEvent[] = []
	for await (const item of hub.subscribe(LOCAL_PRINCIPAL, plan_id, request)) {
		if (item.kind === 'event') events.push(parseEvent(item.stored))
	}
	if (signal.aborted)
		throw new Error(`The plan ${plan_id} was not done after ${RUN_MS} ms; its last event was ${events.at(-1)?.event_type}.`)
	return events
}

/** A server for one test. Disposing it shuts it down gracefully. */
export interface TestPlanstream extends RunningServer {
	/**
	 * Runs a plan to its end, without the network. Rejects when that takes longer than 30 seconds.
	 *
	 * @throws PlanstreamError any error of `plans.create`
	 */
	run(plan: PlanSpec): Promise<FinishedPlan>
}

/**
 * Starts a server in memory on a free port of this machine, with the scripted agent and without logging, for tests of agents and
 * clients.
 *
 * @param options - options that override these defaults
 * @example
 * ```ts
 * await using planstream = await startTestPlanstream({ agents: [wordCount] })
 * const { state } = await planstream.run({ query: 'q', steps: [{ step_id: 'a', action: 'count', agent_type: 'word_count' }] })
 * ```
 */
export async function startTestPlanstream(options: Partial<ServerOptions> = {}): Promise<TestPlanstream> {
	const logger = createLogger('silent')
	const server = await startServer({ store: { kind: 'memory' }, port: 0, scripted: true, logger, ...options })
	return Object.assign(server, { run: (plan: PlanSpec) => runPlan(server, plan) })
}
