import { type AgentsOutput, type Json, type NormalisedStep, PlanstreamError } from '@planstream/shared'
import * as z from 'zod'
import { describeIssue, findFirstIssue } from '../ops/issues.js'
import type { Agent, AgentSchemas } from './agent.js'

export type AgentDescription = AgentsOutput['agents'][number]

/** Types that JSON lacks; `z.toJSONSchema` would describe them as any value. */
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
 * Describes an agent for clients.
 *
 * @throws PlanstreamError `bad_request` for a schema of a type that JSON lacks
 */
export function describeAgent({ type, input, result }: Agent): AgentDescription {
	return {
		agent_type: type,
		input_schema: input === undefined ? null : toJsonSchema(input, 'input', type),
		result_schema: result === undefined ? null : toJsonSchema(result, 'result', type),
	}
}

/** Describes an input as it is sent, and a result as the schema outputs it. */
function toJsonSchema(schema: z.ZodType, role: 'input' | 'result', type: string): Record<string, Json> {
	const described = z.toJSONSchema(schema, {
		io: role === 'input' ? 'input' : 'output',
		unrepresentable: 'any',
		override: ({ zodSchema }) => {
			if (!NOT_JSON.has(zodSchema._zod.def.type)) return
			const message = `The ${role} schema of the agent ${type} holds a ${zodSchema._zod.def.type}, which JSON does not have. Use a JSON type.`
			throw new PlanstreamError('bad_request', message, { agent_type: type })
		},
	})
	return described as unknown as Record<string, Json>
}

/**
 * Rejects inputs that do not match the schemas of their agents.
 *
 * @param before - the steps of the plan so far; unchanged ones are not checked again
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
 * Parses an edited result with its agent's schema.
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
