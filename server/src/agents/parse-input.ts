import type * as z from 'zod'
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
	const fault = firstFault(parsed.error.issues)
	const path = where + fault.path.map(toSegment).join('')
	throw agentError('bad_input', `${path}: ${fault.message}. Correct the step's input; the same input fails again.`, {
		path,
		cause: parsed.error,
	})
}

interface Fault {
	readonly path: readonly PropertyKey[]
	readonly message: string
}

/** For a union the branch that fits best speaks: the one with the fewest faults. */
function firstFault(issues: readonly z.core.$ZodIssue[]): Fault {
	const [issue] = issues
	if (issue === undefined) return { path: [], message: 'is not what this agent expects' }
	if (issue.code !== 'invalid_union') return issue
	const branches = issue.errors.filter((branch) => branch.length > 0)
	const closest = branches.toSorted((one, other) => one.length - other.length)[0]
	if (closest === undefined) return issue
	const fault = firstFault(closest)
	return { path: [...issue.path, ...fault.path], message: fault.message }
}

function toSegment(key: PropertyKey): string {
	return typeof key === 'number' ? `[${key}]` : `.${String(key)}`
}
