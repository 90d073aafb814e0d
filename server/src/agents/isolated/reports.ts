import type { Artifact, Failure, OutputChannel, Usage } from '@planstream/shared'
import type { StepContext, StepInput } from '../../plans/agent.js'
import { agentError } from '../define-agent.js'

/** One call of the agent to its context, on its way to the server. */
export type Report =
	| {
			readonly kind: 'progress'
			readonly fraction: number
			readonly message: string | undefined
			readonly units: Units | undefined
	  }
	| { readonly kind: 'output'; readonly delta: string; readonly channel: OutputChannel; readonly level: string | undefined }
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

/** What an agent's process says. Reports come one batch at a time: the next one when the last has been taken. */
export type FromChild =
	| { readonly kind: 'reports'; readonly reports: readonly Report[] }
	/** The result as JSON of limited size, which is checked like that of any other agent. */
	| { readonly kind: 'result'; readonly text: string }
	| { readonly kind: 'failure'; readonly failure: Failure }

/** What an agent's process is told first. */
export interface Start {
	readonly kind: 'start'
	/** The address of the ES module whose default export is the agent. */
	readonly module: string
	readonly step: StepInput
	readonly given: Pick<StepContext, 'plan' | 'inputs' | 'attempt' | 'step_key'>
}

/** What an agent's process is told. */
export type ToChild =
	| Start
	| { readonly kind: 'taken' }
	| { readonly kind: 'abort'; readonly reason: string }
	| { readonly kind: 'stored'; readonly id: number; readonly artifact: Artifact }
	| { readonly kind: 'not_stored'; readonly id: number; readonly failure: Failure }

/** What may wait in the agent's process, in characters and bytes; beyond this a report is refused. */
const WAITING_LIMIT = 8 * 1024 * 1024
/** What goes over in one message, unless a single report is larger. */
const BATCH_SIZE = 256 * 1024
/** Output of one channel is joined up to this length while it waits. */
const JOINED_CHARACTERS = 64 * 1024
/** So many reports wait before a newer progress takes the place of an older one. */
const PROGRESS_LIMIT = 256
/** What a report costs beside its text. */
const REPORT_SIZE = 100

/**
 * Reports on their way to the server: one batch is under way at a time, and what comes meanwhile waits here, in the
 * memory of the agent's process rather than in that of the server.
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

	/** @throws AgentError `too_large` when too much waits already */
	push(report: Report): void {
		if (this.#size > WAITING_LIMIT) throw overflow()
		const last = this.#waiting.at(-1)
		const joined = last === undefined ? null : join(last, report, this.#waiting.length)
		if (last !== undefined && joined !== null) {
			this.#waiting.pop()
			this.#size -= sizeOf(last)
		}
		this.#waiting.push(joined ?? report)
		this.#size += sizeOf(joined ?? report)
		this.#send()
	}

	/** The batch under way has been taken. */
	taken(): void {
		this.#underWay = false
		this.#send()
		if (this.#underWay) return
		for (const resolve of this.#drained.splice(0)) resolve()
	}

	/** Resolves when nothing waits and nothing is under way. */
	drained(): Promise<void> {
		return this.#underWay ? new Promise((resolve) => this.#drained.push(resolve)) : Promise.resolve()
	}

	#send(): void {
		if (this.#underWay || this.#waiting.length === 0) return
		let size = 0
		const rest = this.#waiting.findIndex((report, index) => {
			size += sizeOf(report)
			return index > 0 && size > BATCH_SIZE
		})
		const batch = this.#waiting.splice(0, rest === -1 ? this.#waiting.length : rest)
		this.#size -= batch.reduce((sum, report) => sum + sizeOf(report), 0)
		this.#underWay = true
		this.#post(batch)
	}
}

/** One report that says what two say; null when there is none. */
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

function sizeOf(report: Report): number {
	switch (report.kind) {
		case 'output':
			return REPORT_SIZE + report.delta.length
		case 'artifact':
			return REPORT_SIZE + report.bytes.byteLength
		case 'progress':
			return REPORT_SIZE + (report.message?.length ?? 0)
		case 'usage':
			return REPORT_SIZE * (1 + Object.keys(report.used).length)
		default:
			return report satisfies never
	}
}

function overflow() {
	const sentence = `More than ${WAITING_LIMIT} characters of reports wait to be taken. Write less, or wait for context.drained() on the way.`
	return agentError('too_large', sentence)
}
