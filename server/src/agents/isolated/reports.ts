import type { Artifact, Failure, OutputChannel, Usage } from '@planstream/shared'
import type { StepContext, StepInput } from '../../plans/agent.js'
import { agentError } from '../define-agent.js'

/** A call of the agent to its context, sent to the server. */
export type Report =
	| {
			readonly kind: 'progress'
			readonly fraction: number
			readonly message: string
			readonly units?: Units | undefined
	  }
	| { readonly kind: 'output'; readonly delta: string; readonly channel: OutputChannel; readonly level?: string | undefined }
	| { readonly kind: 'usage'; readonly used: Usage }
	| ArtifactReport

export interface ArtifactReport {
	readonly kind: 'artifact'
	readonly id: number
	readonly name: string
	readonly bytes: Uint8Array
	readonly media_type: string
}

interface Units {
	readonly current: number
	readonly total: number
	readonly unit: string
}

/** Messages from an agent's process. Reports come in batches, each after the previous one was processed. */
export type FromChild =
	| { readonly kind: 'reports'; readonly reports: readonly Report[] }
	/** The result as JSON of limited size, checked like that of any other agent. */
	| { readonly kind: 'result'; readonly text: string }
	| { readonly kind: 'failure'; readonly failure: Failure }

/** First message to an agent's process. */
export interface Start {
	readonly kind: 'start'
	/** URL of the ES module whose default export is the agent. */
	readonly module: string
	readonly step: StepInput
	readonly given: Pick<StepContext, 'plan' | 'inputs' | 'attempt' | 'step_key'>
}

/** Messages to an agent's process. */
export type ToChild =
	| Start
	| { readonly kind: 'taken' }
	| { readonly kind: 'abort'; readonly reason: string }
	| { readonly kind: 'stored'; readonly id: number; readonly artifact: Artifact }
	| { readonly kind: 'not_stored'; readonly id: number; readonly failure: Failure }

/** Limit of pending reports in the agent's process, in characters and bytes; above it, reports are refused. */
const WAITING_LIMIT = 8 * 1024 * 1024
/** Maximum size of one message, unless a single report is larger. */
const BATCH_SIZE = 256 * 1024
/** Pending output of one channel is joined up to this length. */
const JOINED_CHARACTERS = 64 * 1024
/** Number of pending reports from which a newer progress replaces an older one. */
const PROGRESS_LIMIT = 256
/** Size counted for a report in addition to its text. */
const REPORT_SIZE = 100

/**
 * Sends reports to the server, one batch at a time. The others wait here, in the memory of the agent's process rather than the
 * server's.
 */
export class Reports {
	readonly #post: (batch: readonly Report[]) => void
	#waiting: Report[] = []
	#size = 0
	#underWay = false
	readonly #drained: (() => void)[] = []

	constructor(post: (batch: readonly Report[]) => void) {
		this.#post = post
	}

	/** @throws AgentError `too_large` when too many reports are pending */
	push(report: Report): void {
		if (this.#size > WAITING_LIMIT) {
			const message = `More than ${WAITING_LIMIT} characters of reports are pending. Report less, or await context.drained() in between.`
			throw agentError('too_large', message)
		}
		const last = this.#waiting.at(-1)
		const joined = last === undefined ? null : join(last, report, this.#waiting.length)
		if (last !== undefined && joined !== null) {
			this.#waiting.pop()
			this.#size -= measure(last)
		}
		this.#waiting.push(joined ?? report)
		this.#size += measure(joined ?? report)
		this.#send()
	}

	/** Sends the next batch, after the server has processed the last one. */
	acknowledge(): void {
		this.#underWay = false
		this.#send()
		if (this.#underWay) return
		for (const resolve of this.#drained.splice(0)) resolve()
	}

	/** Resolves when the server has processed all reports. */
	drained(): Promise<void> {
		return this.#underWay ? new Promise((resolve) => this.#drained.push(resolve)) : Promise.resolve()
	}

	#send(): void {
		if (this.#underWay || this.#waiting.length === 0) return
		let size = 0
		const rest = this.#waiting.findIndex((report, index) => {
			size += measure(report)
			return index > 0 && size > BATCH_SIZE
		})
		const batch = this.#waiting.splice(0, rest === -1 ? this.#waiting.length : rest)
		this.#size -= batch.reduce((sum, report) => sum + measure(report), 0)
		this.#underWay = true
		this.#post(batch)
	}
}

/** Merges two reports into one, or returns null if they must stay separate. */
function join(last: Report, next: Report, waiting: number): Report | null {
	if (last.kind === 'output' && next.kind === 'output' && last.channel === next.channel && last.level === next.level) {
		const delta = last.delta + next.delta
		return delta.length > JOINED_CHARACTERS ? null : { ...last, delta }
	}
	if (last.kind === 'usage' && next.kind === 'usage') {
		const used: Record<string, number> = { ...last.used }
		for (const [name, amount] of Object.entries(next.used)) used[name] = (used[name] ?? 0) + amount
		return { ...last, used }
	}
	return last.kind === 'progress' && next.kind === 'progress' && waiting >= PROGRESS_LIMIT ? next : null
}

function measure(report: Report): number {
	switch (report.kind) {
		case 'output':
			return REPORT_SIZE + report.delta.length
		case 'artifact':
			return REPORT_SIZE + report.bytes.byteLength
		case 'progress':
			return REPORT_SIZE + report.message.length
		case 'usage':
			return REPORT_SIZE * (1 + Object.keys(report.used).length)
		default:
			return report satisfies never
	}
}
