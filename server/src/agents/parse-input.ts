import type * as z from 'zod'
import { firstIssue, showPath } from '../ops/issues.js'
import { agentError } from './agent-error.js'

/**
 * What a step was given, checked once at the agent's border.
 *
 * @param where - the name the path starts with: `input`, `plan.input`, `inputs.index`
 * @throws AgentError `bad_input`, not retryable, with the path of the first fault
 */
export function parseInput<Schema extends z.ZodType>(schema: Schema, value: unknown, where: string): z.output<Schema> {
	const parsed = schema.safeParse(value)
	if (parsed.success) return parsed.data
	const { path: inside, message } = firstIssue(parsed.error)
	const path = showPath([where, ...inside])
	throw agentError('bad_input', `${path}: ${message}. Correct the step's input; the same input fails again.`, {
		path,
		cause: parsed.error,
	})
}
