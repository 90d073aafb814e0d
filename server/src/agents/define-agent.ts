import type * as z from 'zod'
import { findFirstIssue, showPath } from '../ops/issues.js'
import type { Agent, StepContext, StepInput, StepResult, StepUpdate } from '../plans/agent.js'

/** Error codes of the agents in this folder. A scripted step may use any other code. */
export type AgentErrorCode =
	/** The step's input, the plan's input or a dependency's result does not match its schema; `path` says where. */
	| 'bad_input'
	/** The corpus folder is not below a corpus root, or does not exist. */
	| 'invalid_input'
	/** A path leads out of the corpus. */
	| 'corpus_refused'
	/** The corpus has more files or bytes than one plan may read. */
	| 'corpus_too_large'
	/** A file changed between two steps of the same plan. */
	| 'corpus_changed'
	/** The module of an isolated agent cannot be loaded or does not export an agent. */
	| 'agent_not_loaded'
	/** The process of an isolated agent ended before it had a result. */
	| 'agent_exited'
	/** An isolated agent threw an uncaught error, or its process could not start. */
	| 'agent_crashed'
	/** The process of an isolated agent used up its memory. */
	| 'agent_out_of_memory'
	/** A model server cannot be reached, or the connection broke before it had answered. */
	| 'upstream_unavailable'
	/** A model server refuses the request. */
	| 'upstream_refused'
	/** A model server is overloaded or failing. */
	| 'upstream_failed'
	/** A model server sent a malformed answer. */
	| 'upstream_invalid'
	/** The agent reported or stored more than the limit allows. */
	| 'too_large'

/**
 * An expected failure of an agent. The attempt copies `code` and `retryable` into the event; the message says what happened, what
 * was expected and what to do.
 */
export class AgentError extends Error {
	override readonly name = 'AgentError'
	readonly code: string
	readonly retryable: boolean
	/** Path of the fault in the input, such as `input.updates[0].wait_ms`; absent when the fault is elsewhere. */
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

/** Creates an {@link AgentError} with a code of the closed list. */
export function agentError(code: AgentErrorCode, message: string, options: AgentErrorOptions = {}): AgentError {
	return new AgentError(code, message, options)
}

/**
 * Parses a value that a step received, once, at the agent's border.
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

/** An agent with schemas for its input and result. */
export interface AgentDefinition<Input extends z.ZodType, Result extends z.ZodType> {
	/** The `agent_type` of its steps. */
	readonly type: string
	/** Schema of a step's `input`. A plan that does not match it is refused when it is created. */
	readonly input: Input
	/** Schema of a result's `data`. An attempt that does not match it fails; the step's result is the parsed value. */
	readonly result: Result
	/** Executes one step; its `input` is the parsed value. */
	execute(
		step: StepInput<z.output<Input>>,
		context: StepContext,
	): Promise<StepResult<z.input<Result>>> | AsyncIterable<StepUpdate<z.input<Result>>>
}

/**
 * Defines an agent with checked and typed steps: inputs when a plan is created, results when an attempt ends. Clients find its
 * schemas in `agents.list`, and `planstream generate` turns them into types.
 *
 * @param definition - zod schemas of objects; both must describe JSON and validate synchronously
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
