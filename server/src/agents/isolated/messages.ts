import type { Artifact, Failure, OutputChannel, Usage } from '@planstream/shared'
import type { StepContext, StepInput } from '../../plans/agent.js'

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
