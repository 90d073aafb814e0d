import type { PlanSpec } from '@planstream/shared'
import type { Agent, StepResult } from '../../../server/src/plans/agent.js'
import { callAgent } from '../../../server/src/plans/agent.js'
import { type RecordingContext, recordingContext } from './recording-context.js'

export interface RanStep extends StepResult {
	readonly context: RecordingContext
}

/**
 * Runs the steps of a plan one after another, each with the results of its dependencies, without executor, log, gate or retry.
 * Dependencies must precede their dependents in the plan.
 *
 * @param until - the step to stop before
 */
export async function runSteps(plan: PlanSpec, agents: readonly Agent[], until?: string): Promise<Map<string, RanStep>> {
	const ran = new Map<string, RanStep>()
	for (const { step_id, name = step_id, action, agent_type, input = {}, depends_on = [] } of plan.steps) {
		if (step_id === until) return ran
		const agent = agents.find(({ type }) => type === agent_type)
		if (agent === undefined)
			throw new Error(`No agent of type ${agent_type}; there are ${agents.map(({ type }) => type).join(', ')}.`)
		const context = recordingContext({
			plan: { query: plan.query, input: plan.input ?? {} },
			inputs: Object.fromEntries(depends_on.map((id) => [id, ran.get(id)?.data ?? null])),
			step_key: `plan_1.${step_id}`,
		})
		const result = await callAgent(agent, { step_id, name, action, agent_type, input }, context)
		ran.set(step_id, { ...result, context })
	}
	return ran
}
