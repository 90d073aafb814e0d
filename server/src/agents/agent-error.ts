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
