import type { Artifact } from '@planstream/shared'
import type { StepContext } from '../../plans/agent.js'
import { MAX_ARTIFACT_BYTES } from '../../plans/artifacts.js'
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
		const said = message === undefined ? undefined : String(message)
		const counted = units && { current: Number(units.current), total: Number(units.total), unit: String(units.unit) }
		this.#report({ kind: 'progress', fraction: Number(fraction), message: said, units: counted })
	}

	output(delta: string, { channel = 'text', level }: Parameters<StepContext['output']>[1] & { level?: string } = {}): void {
		this.#report({ kind: 'output', delta: String(delta), channel, level: level === undefined ? undefined : String(level) })
	}

	/** Copies the content at once, so that the agent may reuse its buffer. */
	artifact(name: string, content: Uint8Array | string, media_type: string): Promise<Artifact> {
		const bytes = typeof content === 'string' ? Buffer.from(content) : new Uint8Array(content)
		if (bytes.byteLength > MAX_ARTIFACT_BYTES) {
			const message = `The artifact ${name} has ${bytes.byteLength} bytes; the limit is ${MAX_ARTIFACT_BYTES}. Split it.`
			return Promise.reject(agentError('too_large', message))
		}
		return new Promise((resolve, reject) => {
			this.#lastId += 1
			this.#reports.push({ kind: 'artifact', id: this.#lastId, name: String(name), bytes, media_type: String(media_type) })
			this.#artifacts.set(this.#lastId, { resolve, reject })
		})
	}

	usage(used: Parameters<StepContext['usage']>[0]): void {
		const numbers = Object.entries(used).map(([name, amount]) => [name, Number(amount)])
		this.#report({ kind: 'usage', used: Object.fromEntries(numbers) })
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
