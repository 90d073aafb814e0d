import type * as z from 'zod'
import { findFirstIssue, showPath } from '../ops/issues.js'
import type { Agent, StepContext, StepInput, StepResult, StepUpdate } from '../plans/agent.js'

/** Why an agent of this folder fails. A scripted step may name any other code. */
export type AgentErrorCode =
	/** The step's input, the plan's input or the results the step depends on do not fit; `path` says where. */
	| 'bad_input'
	/** The corpus folder is not there or is not a folder. */
	| 'corpus_not_found'
	/** A path leads out of the corpus, or the corpus out of the folders this server may read. */
	| 'corpus_refused'
	/** The corpus has more files or bytes than one plan may read. */
	| 'corpus_too_large'
	/** A file changed between two steps of the same plan. */
	| 'corpus_changed'
	/** The module of an isolated agent cannot be loaded or is no agent. */
	| 'agent_not_loaded'
	/** The process of an isolated agent ended before it had a result. */
	| 'agent_exited'
	/** An isolated agent threw where nobody caught it, or has no process. */
	| 'agent_crashed'
	/** The process of an isolated agent used up its memory. */
	| 'agent_out_of_memory'
	/** A model server cannot be reached, or the connection broke before it had answered. */
	| 'upstream_unavailable'
	/** A model server refuses the request. */
	| 'upstream_refused'
	/** A model server is overloaded or failing. */
	| 'upstream_failed'
	/** A model server answered with what is no answer. */
	| 'upstream_invalid'
	/** The agent reports or stores more than there is room for. */
	| 'too_large'

/**
 * A failure an agent foresaw. The attempt copies `code` and `retryable` into the event; the message says what
 * happened, what was expected and what to do.
 */
export class AgentError extends Error {
	override readonly name = 'AgentError'
	readonly code: string
	readonly retryable: boolean
	/** Where in the input the fault is, as `input.updates[0].wait_ms`; absent when it is not in the input. */
	readonly path?: string

	constructor(code: string, message: string, { retryable = false, path, cause }: AgentErrorOptions = {}) {
		super(message, cause === undefined ? undefined : { cause })
		this.code = code
		this.retryable = retryable
		if (path !== undefined) this.path = path
	}
}

interface AgentErrorOptions {
	/** @defaultValue `false`: the same input fails again */
	readonly retryable?: boolean
	readonly path?: string
	readonly cause?: unknown
}

/** An {@link AgentError} with a code of the closed list. */
export function agentError(code: AgentErrorCode, message: string, options: AgentErrorOptions = {}): AgentError {
	return new AgentError(code, message, options)
}

/**
 * What a step was given, checked once at the agent's border.
 *
 * @param where - the name the path starts with: `input`, `plan.input`, `inputs.index`
 * @throws AgentError `bad_input`, not retryable, with the path of the first fault
 */
export function parseInput<Schema extends z.ZodType>(schema: Schema, value: unknown, where: string): z.output<Schema> {
	const parsed = schema.safeParse(value)
	if (parsed.success) return parsed.data
	const { path: inside, message } = findFirstIssue(parsed.error)
	const path = showPath([where, ...inside])
	throw agentError('bad_input', `${path}: ${message}. Correct the step's input; the same input fails again.`, {
		path,
		cause: parsed.error,
	})
}

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
