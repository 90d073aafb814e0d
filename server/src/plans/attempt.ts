import { type Artifact, type Failure, type NormalisedStep, type ParsedEvent, PlanstreamError } from '@planstream/shared'
import { MAX_ARTIFACTS } from '@planstream/shared/schemas'
import type { Schedule } from '../ops/clock.js'
import { type Agent, callAgent, type StepContext, type StepInput, type StepResult } from './agent.js'
import type { ArtifactHold } from './artifacts.js'
import { parseArtifact, parseOutput, parseProgress, parseResult, parseUsage, toFailure } from './attempt-checks.js'
import { Outbox, Output } from './reports.js'
import type { AttemptResult } from './rules/input.js'

/** How an attempt ended. `cut` is not the agent's doing: the server is stopping, or the plan was paused or cancelled. */
export type AttemptOutcome =
	| { readonly kind: 'result'; readonly result: AttemptResult }
	| { readonly kind: 'failure'; readonly reason: 'error' | 'timeout'; readonly error: Failure; readonly duration_ms: number }
	| { readonly kind: 'cut'; readonly reason: CutReason }

/** `interrupted`: the plan is pausing at once, or is being cancelled. */
export type CutReason = 'shutdown' | 'interrupted'

const CUT_MESSAGES: Readonly<Record<CutReason, string>> = {
	shutdown: 'The server is stopping. The step runs again after its next start.',
	interrupted: 'The plan was paused or cancelled.',
}

export interface AttemptOptions {
	readonly agent: Agent
	readonly step: NormalisedStep
	readonly attempt: number
	/** The context's view of the plan and of earlier results. */
	readonly given: Pick<StepContext, 'plan' | 'inputs' | 'step_key'>
	/** Appends the attempt's reports; rejects when they come too late. */
	readonly report: (events: readonly ParsedEvent[]) => Promise<void>
	/** Stores files; disposed by its owner once the outcome is stored. */
	readonly artifacts: Pick<ArtifactHold, 'put'>
	readonly clock: () => number
	readonly schedule: Schedule
}

/** One attempt of one step: calls the agent, forwards its reports and returns the outcome. */
export class Attempt {
	readonly #options: AttemptOptions
	/** Controls the agent's `signal`. */
	readonly #abort = new AbortController()
	/** Controls the agent's `over`. */
	readonly #over = new AbortController()
	readonly #outbox: Outbox
	readonly #output: Output
	readonly #artifacts: Artifact[] = []
	/** Artifacts that are being stored. The attempt waits for those that its agent did not wait for, and fails if one fails. */
	readonly #storing = new Set<Promise<unknown>>()
	readonly #usage = new Map<string, number>()
	readonly #startedAt: number
	#progress = 0
	#timedOut = false
	#cut: CutReason | null = null
	#grace: Disposable | null = null
	#reportFailure: { readonly error: unknown } | null = null
	#agentRuns = false
	#agentEnded: Promise<void> = Promise.resolve()

	constructor(options: AttemptOptions) {
		this.#options = options
		this.#startedAt = options.clock()
		this.#outbox = new Outbox(options.report, (error) => {
			this.#reportFailure = { error }
			this.#end(error)
		})
		const emit = (event: ParsedEvent) => this.#outbox.push(event)
		this.#output = new Output(options.step.step_id, options.attempt, emit, options.schedule)
	}

	/** Whether the agent is still running, even if {@link run} has resolved. */
	get agentRuns(): boolean {
		return this.#agentRuns
	}

	/** Resolves when the agent has really ended; one that ignores its signal may outlive {@link run} by far. */
	get agentEnded(): Promise<void> {
		return this.#agentEnded
	}

	/** Asks the agent to stop. A result within the grace period may still count, as the plan decides; a later one does not. */
	cut(reason: CutReason, grace_ms: number): void {
		if (this.#over.signal.aborted || this.#cut === 'shutdown' || this.#cut === reason) return
		this.#cut = reason
		const message = new DOMException(CUT_MESSAGES[reason], 'AbortError')
		this.#abort.abort(message)
		this.#grace?.[Symbol.dispose]()
		if (grace_ms === 0) this.#end(message)
		else this.#grace = this.#options.schedule(() => this.#end(message), grace_ms)
	}

	/** Calls the agent and resolves with the outcome, at the latest when the step times out. */
	async run(): Promise<AttemptOutcome> {
		const { step, schedule } = this.#options
		using timeout = step.timeout_ms === null ? null : schedule(() => this.#timeOut(), step.timeout_ms)
		const called = this.#call()
		const ended = () => {
			this.#agentRuns = false
		}
		this.#agentRuns = true
		this.#agentEnded = called.then(ended, ended)
		try {
			const returned = await Promise.race([called, rejectOnAbort(this.#over.signal)])
			// A store that is slow to take the reports of a finished agent does not fail it.
			timeout?.[Symbol.dispose]()
			const { data, quality_score, checks } = parseResult(returned, this.#options.agent)
			await Promise.race([Promise.all(this.#storing), rejectOnAbort(this.#over.signal)])
			this.#output.flush()
			await this.#outbox.drain()
			if (this.#reportFailure !== null) throw this.#reportFailure.error
			const usage = this.#usage.size === 0 ? null : Object.fromEntries(this.#usage)
			const result = { data, quality_score, checks, artifacts: this.#artifacts, usage, duration_ms: this.#measureDuration() }
			return { kind: 'result', result }
		} catch (thrown) {
			return await this.#handleThrown(thrown)
		} finally {
			this.#grace?.[Symbol.dispose]()
			this.#outbox.close()
			this.#end(new Error('The attempt has ended.'))
		}
	}

	async #handleThrown(thrown: unknown): Promise<AttemptOutcome> {
		const duration_ms = this.#measureDuration()
		if (this.#timedOut) {
			const message = `The attempt took longer than its ${this.#options.step.timeout_ms} ms. Raise timeout_ms or do less in one step.`
			return { kind: 'failure', reason: 'timeout', error: { code: 'timeout', message, retryable: true }, duration_ms }
		}
		if (this.#reportFailure !== null)
			return { kind: 'failure', reason: 'error', error: toFailure(this.#reportFailure.error), duration_ms }
		if (this.#cut !== null) return { kind: 'cut', reason: this.#cut }
		this.#output.flush()
		await this.#outbox.drain()
		return { kind: 'failure', reason: 'error', error: toFailure(thrown), duration_ms }
	}

	#timeOut(): void {
		this.#timedOut = true
		this.#end(new DOMException('The step timed out.', 'TimeoutError'))
	}

	#end(reason: unknown): void {
		this.#abort.abort(reason)
		this.#over.abort(reason)
	}

	#call(): Promise<StepResult> {
		const { agent, step } = this.#options
		const { step_id, name, action, agent_type, input } = step
		const given: StepInput = { step_id, name, action, agent_type, input }
		return callAgent(agent, given, this.#context())
	}

	#context(): StepContext {
		const { given, attempt } = this.#options
		return {
			...given,
			attempt,
			signal: this.#abort.signal,
			over: this.#over.signal,
			progress: (fraction, message, units) => this.#report(parseProgress({ fraction, message, units })),
			output: (delta, options) => {
				const { delta: text, channel, level } = parseOutput({ ...options, delta })
				if (!this.#abort.signal.aborted) this.#output.push(text, channel, level)
			},
			artifact: (name, content, media_type) => {
				const stored = this.#store(name, content, media_type)
				this.#storing.add(stored)
				const settled = (): void => void this.#storing.delete(stored)
				stored.then(settled, settled)
				return stored
			},
			usage: (used) => {
				for (const [name, amount] of parseUsage(used, this.#usage)) this.#usage.set(name, amount)
			},
			drained: () => this.#outbox.drain(),
		}
	}

	/** Runs up to the copy of the content before it returns. */
	async #store(name: string, content: Uint8Array | string, media_type: string): Promise<Artifact> {
		parseArtifact({ name, content, media_type })
		if (this.#artifacts.length + this.#storing.size >= MAX_ARTIFACTS) throw createArtifactsError()
		this.#over.signal.throwIfAborted()
		const bytes = typeof content === 'string' ? Buffer.from(content) : content
		const stored = await this.#options.artifacts.put(name, bytes, media_type)
		this.#over.signal.throwIfAborted()
		this.#artifacts.push(stored)
		return stored
	}

	#report({ fraction, message, units }: ReturnType<typeof parseProgress>): void {
		if (this.#abort.signal.aborted) return
		this.#progress = Math.max(this.#progress, Math.min(1, fraction))
		const { step, attempt } = this.#options
		const data = { progress: this.#progress, message, ...units }
		this.#outbox.push({ event_type: 'step_progress', step_id: step.step_id, attempt, data })
	}

	#measureDuration(): number {
		return Math.max(0, this.#options.clock() - this.#startedAt)
	}
}

function createArtifactsError(): PlanstreamError {
	const message = `The step has stored ${MAX_ARTIFACTS} artifacts, which is the limit. Join some of them, or divide the step.`
	return new PlanstreamError('too_large', message, { limit: MAX_ARTIFACTS })
}

/** Rejects with the signal's reason; never resolves. */
function rejectOnAbort(signal: AbortSignal): Promise<never> {
	return new Promise((_, reject) => {
		signal.addEventListener('abort', () => reject(signal.reason), { once: true })
	})
}
