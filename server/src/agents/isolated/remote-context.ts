import type { Artifact } from '@planstream/shared'
import type { StepContext } from '../../plans/agent.js'
import { MAX_ARTIFACT_BYTES } from '../../plans/artifacts.js'
import { parseArtifact, parseOutput, parseProgress, parseUsage } from '../../plans/attempt-checks.js'
import { AgentError, agentError } from '../define-agent.js'
import { type Report, Reports, type Start, type ToChild } from './reports.js'

interface Waiting {
	readonly resolve: (stored: Artifact) => void
	readonly reject: (error: AgentError) => void
}

/** The step context inside an isolated agent's process: each call becomes a message to the server. */
export class RemoteContext implements StepContext {
	readonly plan: StepContext['plan']
	readonly inputs: StepContext['inputs']
	readonly attempt: number
	readonly step_key: string
	/** Never aborted here: the process is killed instead. */
	readonly over = new AbortController().signal
	readonly #abort = new AbortController()
	readonly #reports: Reports
	readonly #artifacts = new Map<number, Waiting>()
	#lastId = 0

	constructor(given: Start['given'], send: (reports: readonly Report[]) => void) {
		this.plan = given.plan
		this.inputs = given.inputs
		this.attempt = given.attempt
		this.step_key = given.step_key
		this.#reports = new Reports(send)
	}

	/** Handles a message from the server. */
	receive(message: Exclude<ToChild, Start>): void {
		switch (message.kind) {
			case 'taken':
				this.#reports.acknowledge()
				return
			case 'abort':
				this.#abort.abort(new DOMException(message.reason, 'AbortError'))
				return
			case 'stored':
				this.#takeWaiting(message.id)?.resolve(message.artifact)
				return
			case 'not_stored': {
				const { failure } = message
				this.#takeWaiting(message.id)?.reject(new AgentError(failure.code, failure.message, { retryable: failure.retryable }))
				return
			}
			default:
				message satisfies never
		}
	}

	get signal(): AbortSignal {
		return this.#abort.signal
	}

	progress(fraction: number, message?: string, units?: Parameters<StepContext['progress']>[2]): void {
		this.#report({ kind: 'progress', ...parseProgress({ fraction, message, units }) })
	}

	output(delta: string, options?: Parameters<StepContext['output']>[1]): void {
		this.#report({ kind: 'output', ...parseOutput({ ...options, delta }) })
	}

	/** Copies the content at once, so that the agent may reuse its buffer. */
	async artifact(name: string, content: Uint8Array | string, media_type: string): Promise<Artifact> {
		parseArtifact({ name, content, media_type })
		const bytes = typeof content === 'string' ? Buffer.from(content) : new Uint8Array(content)
		if (bytes.byteLength > MAX_ARTIFACT_BYTES) {
			const message = `The artifact ${name} has ${bytes.byteLength} bytes; the limit is ${MAX_ARTIFACT_BYTES}. Split it.`
			throw agentError('too_large', message)
		}
		return new Promise((resolve, reject) => {
			this.#lastId += 1
			this.#reports.push({ kind: 'artifact', id: this.#lastId, name, bytes, media_type })
			this.#artifacts.set(this.#lastId, { resolve, reject })
		})
	}

	usage(used: Parameters<StepContext['usage']>[0]): void {
		this.#report({ kind: 'usage', used: Object.fromEntries(parseUsage(used)) })
	}

	drained(): Promise<void> {
		return this.#reports.drained()
	}

	#report(report: Report): void {
		if (!this.signal.aborted) this.#reports.push(report)
	}

	#takeWaiting(id: number): Waiting | undefined {
		const waiting = this.#artifacts.get(id)
		this.#artifacts.delete(id)
		return waiting
	}
}
