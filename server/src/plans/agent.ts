import type { Artifact, Check, OutputChannel, Usage } from '@planstream/shared'
import type * as z from 'zod'

/** What a step asks of its agent. */
export interface StepInput<Input = Readonly<Record<string, unknown>>> {
	readonly step_id: string
	readonly name: string
	readonly action: string
	readonly agent_type: string
	readonly input: Input
}

/** What the attempt offers its agent. */
export interface StepContext {
	readonly plan: {
		readonly plan_id: string
		readonly query: string
		readonly research_type: string
		readonly labels: Readonly<Record<string, string>>
		readonly input: Readonly<Record<string, unknown>>
	}
	/** Results of the steps this one depends on, by step id; null for a skipped or failed one. */
	readonly inputs: Readonly<Record<string, unknown>>
	/** 1-based, never repeated within a step. */
	readonly attempt: number
	/** Stable over all attempts of the step: the idempotency key for calls to the outside. */
	readonly step_key: string
	/** Aborted on timeout, cancel, interrupt and shutdown. An agent that goes on is fenced: nothing of it counts. */
	readonly signal: AbortSignal
	/** Aborted when nothing the agent does counts any more, which on an interrupt is later than `signal`: what it holds may be ended by force. */
	readonly over: AbortSignal
	/**
	 * Reports how much of the step's real work is done.
	 *
	 * @param fraction - 0..1; what would fall back is raised to the last value
	 */
	progress(fraction: number, message?: string, units?: { current: number; total: number; unit: string }): void
	/** Streams text to whoever watches. Deltas are joined before they are stored; no character is lost or moved. */
	output(delta: string, options?: { channel?: OutputChannel; level?: string }): void
	/** Stores a file of the step, addressed by its content. @returns what the event will say of it */
	artifact(name: string, bytes: Uint8Array | string, media_type: string): Promise<Artifact>
	/** Adds to what the attempt has used. */
	usage(used: Usage): void
	/** Resolves when the log has caught up with the reports so far, or takes no more of them: who writes much waits for it on the way. */
	drained(): Promise<void>
}

/** What a step came to. */
export interface StepResult<Data = Readonly<Record<string, unknown>>> {
	/** Becomes `step_completed.data` and the input of the steps that depend on this one: JSON, at most 60 KiB; more belongs into an artifact. */
	readonly data: Data
	/** 0..1; what the step's gate compares with its limits. */
	readonly quality_score?: number
	/** Named scores the quality score is made of. */
	readonly checks?: readonly Check[]
}

/** What an agent that yields, rather than calls its context, may say on its way. The last item is the result. */
export type StepUpdate<Data = Readonly<Record<string, unknown>>> =
	| { readonly progress: number; readonly message?: string }
	| { readonly output: string; readonly channel?: OutputChannel }
	| { readonly usage: Usage }
	| { readonly result: StepResult<Data> }

/** What an agent takes and gives, so that it is checked and clients know it. They are read without waiting: no asynchronous checks. */
export interface AgentSchemas {
	/** Of a step's `input`: a plan with another one is refused. @defaultValue any object */
	readonly input?: z.ZodType | undefined
	/** Of a result's `data`: an attempt with another one fails. The step's result is what the schema makes of it. @defaultValue any object */
	readonly result?: z.ZodType | undefined
}

/**
 * Does one kind of step. It is called once an attempt and may be called for many steps at once.
 * It throws to fail; an error's `code` (text) and `retryable` (boolean, true when absent) go into the event.
 */
export interface Agent extends AgentSchemas {
	readonly type: string
	execute(step: StepInput, context: StepContext): Promise<StepResult> | AsyncIterable<StepUpdate>
}

/** Has an agent do a step, whichever of the two forms it has. Rejects for everything it throws. */
export async function callAgent(agent: Agent, step: StepInput, context: StepContext): Promise<StepResult> {
	const returned = agent.execute(step, context)
	return Symbol.asyncIterator in returned ? follow(returned, context) : returned
}

/** Takes an agent's updates one by one; the next is asked for when the last is in the log. */
async function follow(updates: AsyncIterable<StepUpdate>, context: StepContext): Promise<StepResult> {
	for await (const update of updates) {
		if (context.signal.aborted) break
		if ('result' in update) return update.result
		if ('progress' in update) context.progress(update.progress, update.message)
		if ('output' in update) context.output(update.output, update.channel === undefined ? {} : { channel: update.channel })
		if ('usage' in update) context.usage(update.usage)
		await context.drained()
	}
	throw new TypeError('The agent ended without a result. Its last update must be { result: { data } }.')
}
