import { type Artifact, type Check, type OutputChannel, PlanstreamError, type Usage } from '@planstream/shared'
import type * as z from 'zod'

/** A step as its agent receives it. */
export interface StepInput<Input = Readonly<Record<string, unknown>>> {
	readonly step_id: string
	readonly name: string
	readonly action: string
	readonly agent_type: string
	readonly input: Input
}

/** Tools and facts that an attempt offers its agent. */
export interface StepContext {
	readonly plan: {
		/** The tenant that the plan belongs to; `default` on a server without keys. */
		readonly tenant: string
		readonly plan_id: string
		readonly query: string
		readonly research_type: string
		readonly labels: Readonly<Record<string, string>>
		readonly input: Readonly<Record<string, unknown>>
	}
	/** Results of the steps this one depends on, by step id; null if that step was skipped or failed. */
	readonly inputs: Readonly<Record<string, unknown>>
	/** 1-based; never repeats within a step. */
	readonly attempt: number
	/** The same for all attempts of the step: use it as the idempotency key of external calls. */
	readonly step_key: string
	/** Aborted on timeout, cancel, interrupt and shutdown. An agent that continues is fenced: nothing it reports counts. */
	readonly signal: AbortSignal
	/** Aborted when nothing the agent does can count; after an interrupt that is later than `signal`. Its resources may then be closed by force. */
	readonly over: AbortSignal
	/**
	 * Reports how much of the step's real work is done.
	 *
	 * @param fraction - 0..1; a value below the last one is raised to it
	 */
	progress(fraction: number, message?: string, units?: { current: number; total: number; unit: string }): void
	/** Streams text to viewers. Deltas are joined before they are stored; no character is lost or moved. */
	output(delta: string, options?: { channel?: OutputChannel; level?: string }): void
	/** Stores a file of the step, addressed by its content. @returns the artifact as its event will describe it */
	artifact(name: string, bytes: Uint8Array | string, media_type: string): Promise<Artifact>
	/** Adds to the usage of the attempt. */
	usage(used: Usage): void
	/** Resolves when the log has all reports so far, or accepts no more. Await it from time to time when you write a lot. */
	drained(): Promise<void>
}

/** The result of a step. */
export interface StepResult<Data = Readonly<Record<string, unknown>>> {
	/** Becomes `step_completed.data` and the input of the steps that depend on this one: JSON, at most 60 KiB. Store larger content as an artifact. */
	readonly data: Data
	/** 0..1; the step's gate compares it with its limits. */
	readonly quality_score?: number
	/** Named scores that make up the quality score. */
	readonly checks?: readonly Check[]
}

/** An item from an agent that yields instead of calling its context. The last item is the result. */
export type StepUpdate<Data = Readonly<Record<string, unknown>>> =
	| { readonly progress: number; readonly message?: string }
	| { readonly output: string; readonly channel?: OutputChannel }
	| { readonly usage: Usage }
	| { readonly result: StepResult<Data> }

/** Schemas of an agent's input and result, which are validated and shown to clients. Validation is synchronous: no async checks. */
export interface AgentSchemas {
	/** Schema of a step's `input`; a plan with an invalid one is rejected. @defaultValue any object */
	readonly input?: z.ZodType | undefined
	/** Schema of a result's `data`; an attempt with an invalid one fails. The step's result is the schema's output. @defaultValue any object */
	readonly result?: z.ZodType | undefined
}

/**
 * Does one kind of step. It is called once per attempt and may run many steps at once.
 * It throws to fail; an error's `code` (text) and `retryable` (boolean, true when absent) go into the event.
 */
export interface Agent extends AgentSchemas {
	readonly type: string
	execute(step: StepInput, context: StepContext): Promise<StepResult> | AsyncIterable<StepUpdate>
}

/** Calls an agent of either form: one that returns a promise or one that yields. Rejects with anything it throws. */
export async function callAgent(agent: Agent, step: StepInput, context: StepContext): Promise<StepResult> {
	const returned: Promise<StepResult> | AsyncIterable<StepUpdate> | null | undefined = agent.execute(step, context)
	return isAsyncIterable(returned) ? follow(returned, context) : returned
}

function isAsyncIterable(returned: unknown): returned is AsyncIterable<StepUpdate> {
	return typeof returned === 'object' && returned !== null && Symbol.asyncIterator in returned
}

/**
 * Reports an agent's updates one by one; requests the next once the last is in the log.
 *
 * @throws PlanstreamError `invalid_event` for an update that is none, and without a result
 */
async function follow(updates: AsyncIterable<StepUpdate>, context: StepContext): Promise<StepResult> {
	for await (const update of updates) {
		if (context.signal.aborted) break
		assertUpdate(update)
		if ('result' in update) return update.result
		if ('progress' in update) context.progress(update.progress, update.message)
		if ('output' in update) context.output(update.output, update.channel === undefined ? {} : { channel: update.channel })
		if ('usage' in update) context.usage(update.usage)
		await context.drained()
	}
	throw new PlanstreamError('invalid_event', 'The agent ended without a result. Its last update must be { result: { data } }.')
}

const UPDATES = ['progress', 'output', 'usage', 'result'] as const

/** Checks an update: not every agent is written in TypeScript. */
function assertUpdate(update: unknown): void {
	if (typeof update === 'object' && update !== null && UPDATES.some((name) => name in update)) return
	const message = `The agent yielded ${describeValue(update)}. Yield objects with ${UPDATES.slice(0, -1).join(', ')} or ${UPDATES.at(-1)}.`
	throw new PlanstreamError('invalid_event', message)
}

function describeValue(value: unknown): string {
	if (value === null || value === undefined) return String(value)
	if (typeof value !== 'object') return `a ${typeof value}`
	return Array.isArray(value) ? 'an array' : `an object with ${Object.keys(value).slice(0, 3).join(', ') || 'no field'}`
}
