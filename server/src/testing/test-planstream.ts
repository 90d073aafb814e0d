import type { PlanSpec } from '@planstream/shared'
import { createLogger } from '../ops/logger.js'
import { type RunningServer, type ServerOptions, startServer } from '../server.js'
import { type FinishedPlan, runPlan } from './run-plan.js'

/** A server for one test. Disposing it stops it in order. */
export interface TestPlanstream extends RunningServer {
	/**
	 * Runs a plan to its end, without the network. Rejects when that takes longer than 30 seconds.
	 *
	 * @throws PlanstreamError what `plans.create` is refused with
	 */
	run(plan: PlanSpec): Promise<FinishedPlan>
}

/**
 * A server in memory on a free port of this machine, with the scripted agent and without a log on standard error: for tests of agents
 * and of clients.
 *
 * @param options - what differs from that
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
