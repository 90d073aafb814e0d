import { createHash } from 'node:crypto'
import type { Artifact, OutputChannel, Usage } from '@planstream/shared'
import type { StepContext } from '../../../server/src/plans/agent.js'

/** A call of an agent to its context, recorded in order. */
export type Report =
	| { readonly kind: 'progress'; readonly fraction: number; readonly message: string | null; readonly units: Units | null }
	| { readonly kind: 'output'; readonly delta: string; readonly channel: OutputChannel }
	| { readonly kind: 'artifact'; readonly artifact: Artifact; readonly content: string }
	| { readonly kind: 'usage'; readonly used: Usage }

interface Units {
	readonly current: number
	readonly total: number
	readonly unit: string
}

export interface RecordingContext extends StepContext {
	readonly reports: readonly Report[]
}

export interface RecordingOptions {
	readonly plan?: Partial<StepContext['plan']>
	readonly inputs?: StepContext['inputs']
	readonly attempt?: number
	readonly step_key?: string
	readonly signal?: AbortSignal
	readonly over?: AbortSignal
	/** Called after each report was recorded. */
	readonly onReport?: (report: Report) => void
}

const PLAN = {
	tenant: 'default',
	plan_id: 'plan_1',
	query: 'What is recorded?',
	research_type: 'comprehensive',
	labels: {},
	input: {},
}

/** Creates the context of a step that records all calls and writes nothing anywhere. */
export function recordingContext(options: RecordingOptions = {}): RecordingContext {
	const reports: Report[] = []
	const record = (report: Report): void => {
		reports.push(report)
		options.onReport?.(report)
	}
	return {
		plan: { ...PLAN, ...options.plan },
		inputs: options.inputs ?? {},
		attempt: options.attempt ?? 1,
		step_key: options.step_key ?? 'plan_1.step_1',
		signal: options.signal ?? new AbortController().signal,
		over: options.over ?? new AbortController().signal,
		reports,
		progress: (fraction, message, units) =>
			record({ kind: 'progress', fraction, message: message ?? null, units: units ?? null }),
		output: (delta, { channel = 'text' } = {}) => record({ kind: 'output', delta, channel }),
		artifact: (name, bytes, media_type) => {
			const content = Buffer.from(bytes)
			const artifact_id = createHash('sha256').update(content).digest('hex')
			const artifact = { artifact_id, name, media_type, bytes: content.byteLength }
			record({ kind: 'artifact', artifact, content: content.toString('utf8') })
			return Promise.resolve(artifact)
		},
		usage: (used) => record({ kind: 'usage', used }),
		drained: () => Promise.resolve(),
	}
}

/** Joins everything an agent sent to one output channel. */
export function outputOf(context: RecordingContext, channel: OutputChannel): string {
	const deltas = context.reports.flatMap((report) =>
		report.kind === 'output' && report.channel === channel ? [report.delta] : [],
	)
	return deltas.join('')
}
