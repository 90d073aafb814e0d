import { type AgentsOutput, type Json, type NormalisedStep, PlanstreamError } from '@planstream/shared'
import * as z from 'zod'
import { describeIssue, findFirstIssue } from '../ops/issues.js'
import type { Agent, AgentSchemas } from './agent.js'

export type AgentDescription = AgentsOutput['agents'][number]

/** What JSON does not have, and JSON Schema does not say. */
const NOT_JSON: ReadonlySet<string> = new Set([
	'bigint',
	'date',
	'file',
	'function',
	'map',
	'nan',
	'promise',
	'set',
	'symbol',
	'transform',
	'undefined',
	'void',
])

/**
 * What clients are told of an agent.
 *
 * @throws PlanstreamError `bad_request` for a schema of what is not JSON
 */
export function describeAgent({ type, input, result }: Agent): AgentDescription {
	return {
		agent_type: type,
		input_schema: input === undefined ? null : toJsonSchema(input, 'input', type),
		result_schema: result === undefined ? null : toJsonSchema(result, 'result', type),
	}
}

/** An input is described as it is given, a result as the schema leaves it. */
function toJsonSchema(schema: z.ZodType, role: 'input' | 'result', type: string): Record<string, Json> {
	const described = z.toJSONSchema(schema, {
		io: role === 'input' ? 'input' : 'output',
		unrepresentable: 'any',
		override: ({ zodSchema }) => {
			if (!NOT_JSON.has(zodSchema._zod.def.type)) return
			const message = `The schema of the ${role} of the agent ${type} holds a ${zodSchema._zod.def.type}, which JSON does not have. Describe it as JSON.`
			throw new PlanstreamError('bad_request', message, { agent_type: type })
		},
	})
	return described as unknown as Record<string, Json>
}

/**
 * Refuses inputs that their agents do not take.
 *
 * @param before - the steps of the plan until now; what did not change is not looked at again
 * @throws PlanstreamError `invalid_input` with the `path` of the first fault
 */
export function assertInputs(
	steps: readonly NormalisedStep[],
	agents: ReadonlyMap<string, AgentSchemas>,
	before: readonly NormalisedStep[] = [],
): void {
	const known = new Map(before.map((step) => [step.step_id, step]))
	for (const [index, { step_id, agent_type, input }] of steps.entries()) {
		const unchanged = known.get(step_id)?.input === input && known.get(step_id)?.agent_type === agent_type
		const parsed = unchanged ? undefined : agents.get(agent_type)?.input?.safeParse(input)
		if (parsed?.success === false) refuseInput(parsed.error, ['steps', index, 'input'], { steps })
	}
}

/**
 * An edited result as its agent's schema makes it.
 *
 * @throws PlanstreamError `invalid_input` with the `path` of the first fault
 */
export function parseEdit(
	schema: z.ZodType | undefined,
	payload: Readonly<Record<string, Json>>,
): Readonly<Record<string, Json>> {
	const parsed = schema?.safeParse(payload)
	if (parsed === undefined) return payload
	if (!parsed.success) refuseInput(parsed.error, ['payload'], { payload })
	return parsed.data as Readonly<Record<string, Json>>
}

function refuseInput(error: z.ZodError, where: readonly PropertyKey[], given: unknown): never {
	const issue = findFirstIssue(error)
	const path = [...where, ...issue.path]
	throw new PlanstreamError('invalid_input', describeIssue({ ...issue, path }, given), { path: path.join('.') }, { cause: error })
}
