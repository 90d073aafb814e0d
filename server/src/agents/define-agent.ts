import type * as z from 'zod'
import type { Agent, StepContext, StepInput, StepResult, StepUpdate } from '../plans/agent.js'
import { parseInput } from './parse-input.js'

/** An agent with schemas of what it takes and gives. */
export interface AgentDefinition<Input extends z.ZodType, Result extends z.ZodType> {
	/** What steps name as their `agent_type`. */
	readonly type: string
	/** Of a step's `input`. A plan with another one is refused when it is created. */
	readonly input: Input
	/** Of a result's `data`. An attempt with another one fails; the step's result is what the schema makes of it. */
	readonly result: Result
	/** Does one step, whose `input` is what the schema has made of it. */
	execute(
		step: StepInput<z.output<Input>>,
		context: StepContext,
	): Promise<StepResult<z.input<Result>>> | AsyncIterable<StepUpdate<z.input<Result>>>
}

/**
 * An agent whose steps are checked and typed on both ends: inputs when a plan is created, results when an attempt ends.
 * Clients find its schemas in `agents.list`, and `planstream generate` makes their types.
 *
 * @param definition - schemas of zod for objects; both must say JSON and check without waiting
 * @example
 * ```ts
 * const wordCount = defineAgent({
 * 	type: 'word_count',
 * 	input: z.object({ text: z.string() }),
 * 	result: z.object({ words: z.int() }),
 * 	execute: async ({ input }) => ({ data: { words: input.text.split(/\s+/).length } }),
 * })
 * ```
 */
export function defineAgent<Input extends z.ZodType<object>, Result extends z.ZodType<object>>(
	definition: AgentDefinition<Input, Result>,
): Agent {
	const { type, input, result } = definition
	return {
		type,
		input,
		result,
		execute: (step, context) => {
			const typed = { ...step, input: parseInput(input, step.input, 'input') }
			return definition.execute(typed, context) as ReturnType<Agent['execute']>
		},
	}
}
