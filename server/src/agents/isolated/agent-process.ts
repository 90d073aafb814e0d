import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import type { StepContext, StepInput, StepResult } from '../../plans/agent.js'
import { toFailure } from '../../plans/attempt-checks.js'
import { AgentError, agentError } from '../define-agent.js'
import type { ArtifactReport, FromChild, Report, ToChild } from './reports.js'

export interface ProcessOptions {
	/** The script of the process. */
	readonly file: string
	/** The module of the agent. */
	readonly module: string
	readonly memoryMb: number
}

/** Signals with which the runtime ends a process that ran out of memory or requested too large a block. */
const OUT_OF_MEMORY: readonly (NodeJS.Signals | null)[] = ['SIGABRT', 'SIGTRAP', 'SIGILL']

/** Runs one attempt in its own process: relays messages between agent and server, and ends the process with the attempt. */
export class AgentProcess {
	readonly #context: StepContext
	readonly #child: ChildProcess
	readonly #ended: Promise<unknown>
	readonly #outcome: Promise<StepResult>

	constructor({ file, module, memoryMb }: ProcessOptions, step: StepInput, context: StepContext) {
		this.#context = context
		this.#child = fork(file, [String(process.pid)], {
			// The process's own flags (a TypeScript loader, --inspect) are not for a plain compiled file.
			execArgv: [`--max-old-space-size=${memoryMb}`],
			serialization: 'advanced',
			// The agent's output must not mix with the server's standard output.
			stdio: ['ignore', 2, 2, 'ipc'],
			// Ctrl-C is meant for the server, which ends its attempts gracefully.
			detached: true,
		})
		this.#ended = once(this.#child, 'exit').catch(() => {}) // a failed start has already rejected the outcome
		this.#outcome = this.#listen(memoryMb)
		const { plan, inputs, attempt, step_key } = context
		this.#send({ kind: 'start', module, step, given: { plan, inputs, attempt, step_key } })
	}

	/** Resolves with the result, or rejects with the failure, once the process has ended: by itself, or by force when the attempt is over. */
	async run(): Promise<StepResult> {
		const { signal, over } = this.#context
		const abort = () => this.#send({ kind: 'abort', reason: String(signal.reason) })
		const kill = () => void this.#child.kill('SIGKILL')
		signal.addEventListener('abort', abort, { once: true })
		over.addEventListener('abort', kill, { once: true })
		try {
			return await this.#outcome
		} finally {
			signal.removeEventListener('abort', abort)
			over.removeEventListener('abort', kill)
			kill()
			await this.#ended
		}
	}

	#listen(memoryMb: number): Promise<StepResult> {
		const child = this.#child
		return new Promise((resolve, reject) => {
			child.once('error', (cause) =>
				reject(agentError('agent_crashed', `The agent's process could not start: ${cause.message}`, { cause })),
			)
			child.once('exit', (code, signal) => {
				const end = () => reject(explainExit(code, signal, memoryMb))
				// Its last messages may still be in transit.
				if (child.connected) child.once('disconnect', end)
				else end()
			})
			child.on('message', (message: FromChild) => {
				if (message.kind === 'reports') this.#forwardAll(message.reports).catch(reject)
				else if (message.kind === 'result') resolve(JSON.parse(message.text))
				else reject(new AgentError(message.failure.code, message.failure.message, { retryable: message.failure.retryable }))
			})
		})
	}

	/** Forwards reports and requests more once the log has caught up; after an abort only artifacts are forwarded. */
	async #forwardAll(reports: readonly Report[]): Promise<void> {
		for (const report of reports) {
			if (report.kind === 'artifact') await this.#store(report)
			else if (!this.#context.signal.aborted) this.#forward(report)
		}
		await this.#context.drained()
		this.#send({ kind: 'taken' })
	}

	#forward(report: Exclude<Report, ArtifactReport>): void {
		switch (report.kind) {
			case 'progress':
				this.#context.progress(report.fraction, report.message, report.units)
				return
			case 'output': {
				const { delta, channel, level } = report
				this.#context.output(delta, level === undefined ? { channel } : { channel, level })
				return
			}
			case 'usage':
				this.#context.usage(report.used)
				return
			default:
				report satisfies never
		}
	}

	async #store({ id, name, bytes, media_type }: ArtifactReport): Promise<void> {
		try {
			const artifact = await this.#context.artifact(name, bytes, media_type)
			this.#send({ kind: 'stored', id, artifact })
		} catch (thrown) {
			this.#send({ kind: 'not_stored', id, failure: toFailure(thrown) })
		}
	}

	/** Sends nothing to a process that has exited; its exit is handled elsewhere. */
	#send(message: ToChild): void {
		if (this.#child.connected) this.#child.send(message, () => {})
	}
}

function explainExit(code: number | null, signal: NodeJS.Signals | null, memoryMb: number): AgentError {
	if (OUT_OF_MEMORY.includes(signal)) {
		const message = `The agent needed more memory than its ${memoryMb} MB. Raise memoryMb of its isolatedAgent, or work in smaller pieces.`
		return agentError('agent_out_of_memory', message, { retryable: true })
	}
	const how = signal === null ? `with exit code ${code}` : `by ${signal}`
	return agentError('agent_exited', `The agent's process ended ${how} before it had a result.`, { retryable: true })
}
