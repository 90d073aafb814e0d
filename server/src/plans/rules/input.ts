import {
	type Artifact,
	type Check,
	type Failure,
	indexSteps,
	type Json,
	type NormalisedPlan,
	type NormalisedStep,
	type ParsedEvent,
	type PlanStatus,
	PlanstreamError,
	type StepState,
	type StepStatus,
	type Usage,
} from '@planstream/shared'
import type { ModifyOp } from '@planstream/shared/schemas'
import { findStep, foldEvent, type PlanFold } from '../../hub/plan-fold.js'
import type { AgentSchemas } from '../agent.js'

/** Commands on plans and steps, named as in the routes, the SDK and the command line. */
export const PLAN_COMMANDS = ['start', 'pause', 'resume', 'cancel', 'retry', 'modify', 'clone', 'clear', 'delete'] as const
export type PlanCommand = (typeof PLAN_COMMANDS)[number]
export const STEP_COMMANDS = ['retry', 'skip', 'review'] as const
export type StepCommand = (typeof STEP_COMMANDS)[number]

/** Commands that change a plan, by its status. */
export const ALLOWED_ON_PLAN: Readonly<Record<PlanStatus, readonly PlanCommand[]>> = {
	pending: ['start', 'cancel', 'modify', 'clone'],
	running: ['pause', 'cancel', 'modify', 'clone'],
	pausing: ['pause', 'resume', 'cancel', 'modify', 'clone'],
	paused: ['resume', 'cancel', 'modify', 'clone'],
	cancelling: ['clone'],
	completed: ['clone', 'clear', 'delete'],
	failed: ['retry', 'modify', 'clone', 'clear', 'delete'],
	cancelled: ['retry', 'clone', 'clear', 'delete'],
}

/** Commands whose target a plan with this status has already reached: they succeed and change nothing. */
export const REACHED_BY_PLAN: Readonly<Record<PlanStatus, readonly PlanCommand[]>> = {
	pending: [],
	running: ['start', 'resume'],
	pausing: [],
	paused: ['pause'],
	cancelling: ['cancel'],
	completed: [],
	failed: [],
	cancelled: ['cancel'],
}

/** Plan statuses in which a step may accept a command. */
const PLANS_THAT_TAKE: Readonly<Record<StepCommand, readonly PlanStatus[]>> = {
	retry: ['running', 'pausing', 'paused', 'failed'],
	skip: ['pending', 'running', 'pausing', 'paused', 'failed'],
	review: ['running', 'pausing', 'paused'],
}

/** Step statuses in which a step accepts a command, if its plan allows it. */
const STEPS_THAT_TAKE: Readonly<Record<StepCommand, readonly StepStatus[]>> = {
	retry: ['failed', 'skipped', 'completed', 'cancelled'],
	skip: ['pending', 'ready', 'retrying', 'awaiting_review', 'failed'],
	review: ['awaiting_review'],
}

/** Lists the commands that change a step, by its status and its plan's. */
export function listStepCommands(plan: PlanStatus, step: StepStatus): StepCommand[] {
	return STEP_COMMANDS.filter((command) => PLANS_THAT_TAKE[command].includes(plan) && STEPS_THAT_TAKE[command].includes(step))
}

/** One attempt of one step and the worker that holds it; fences late results and progress. */
export interface Lease {
	readonly step_id: string
	readonly attempt: number
	readonly worker_id: string
}

/** The result of an attempt, with all fields of its event. */
export interface AttemptResult {
	readonly data: Readonly<Record<string, Json>>
	readonly quality_score?: number | undefined
	readonly checks?: readonly Check[] | undefined
	readonly artifacts: readonly Artifact[]
	readonly usage: Usage | null
	readonly duration_ms: number
}

/** Reason for the end of an attempt that was not the agent's doing. */
export type LossReason = 'worker_lost' | 'shutdown' | 'interrupted'

/** Inputs from principals. */
export type Command =
	| { readonly kind: 'create'; readonly plan: NormalisedPlan; readonly start: boolean }
	| { readonly kind: 'start' | 'resume' | 'retry' }
	| { readonly kind: 'pause'; readonly mode: 'drain' | 'interrupt'; readonly reason?: string | undefined }
	| { readonly kind: 'cancel'; readonly reason?: string | undefined }
	| { readonly kind: 'modify'; readonly ops: readonly ModifyOp[] }
	| { readonly kind: 'retry_step'; readonly step_id: string; readonly cascade: boolean }
	| { readonly kind: 'skip_step'; readonly step_id: string; readonly reason?: string | undefined }
	| ReviewAnswer

export interface ReviewAnswer {
	readonly kind: 'review'
	readonly review_id: string
	readonly decision: 'approve' | 'reject' | 'edit'
	readonly comment?: string | undefined
	readonly payload?: Readonly<Record<string, Json>> | undefined
}

/** Inputs from workers, clocks and restarts. */
export type Occurrence =
	| { readonly kind: 'lease'; readonly lease: Lease }
	| { readonly kind: 'report'; readonly lease: Lease; readonly events: readonly ParsedEvent[] }
	| { readonly kind: 'result'; readonly lease: Lease; readonly result: AttemptResult }
	| {
			readonly kind: 'failure'
			readonly lease: Lease
			readonly reason: 'error' | 'timeout'
			readonly error: Failure
			readonly duration_ms: number
	  }
	| { readonly kind: 'lost'; readonly step_id: string; readonly attempt: number; readonly reason: LossReason }
	/** An agent that outlived its attempt has ended, or the server is resuming the plan. */
	| { readonly kind: 'idle' }
	| { readonly kind: 'review_expired'; readonly review_id: string }
	| { readonly kind: 'plan_timeout' }
	/** The plan's metrics are due. */
	| { readonly kind: 'metrics'; readonly window_ms: number }

export type Input = Command | Occurrence

/** Everything besides the plan and the input that a decision may depend on. */
export interface DecisionContext {
	/** Milliseconds since 1970. */
	readonly now: number
	/** Drawn uniformly from 0 to 1, for jitter. */
	readonly random: number
	/** Steps whose agent ignores its signal and is still running after its attempt has ended. */
	readonly live: ReadonlySet<string>
	/** The agents a step may name, by type. */
	readonly agents: ReadonlyMap<string, AgentSchemas>
}

/** Folds events that are decided but not yet in the log. */
export function foldAhead(fold: PlanFold, events: readonly ParsedEvent[], now: number): PlanFold {
	const timestamp = new Date(now).toISOString()
	return events.reduce((before, event) => {
		const envelope = { timestamp, event_id: '', plan_id: before.state.plan_id, cursor: '', seq: before.state.seq + 1 }
		return foldEvent(before, { ...event, ...envelope })
	}, fold)
}

/** Lists the steps in which something runs: an attempt, or an agent that outlived one. */
export function listRunningSteps(fold: PlanFold, live: ReadonlySet<string>): string[] {
	return fold.state.steps.flatMap(({ step_id, status }) => (status === 'running' || live.has(step_id) ? [step_id] : []))
}

/** Counts the steps in which something runs. */
export function countRunning({ state }: PlanFold, live: ReadonlySet<string>): number {
	let running = indexSteps(state.steps).counts.running
	for (const step_id of live) {
		const step = findStep(state, step_id)
		if (step !== undefined && step.status !== 'running') running += 1
	}
	return running
}

/** Returns the state and the specification of a step. */
export function getStep(fold: PlanFold, step_id: string): { readonly state: StepState; readonly spec: NormalisedStep } {
	const place = indexSteps(fold.state.steps).places.get(step_id) ?? -1
	const state = fold.state.steps[place]
	const spec = fold.plan?.steps[place]
	if (state !== undefined && spec !== undefined) return { state, spec }
	const message = `Plan ${fold.state.plan_id} has no step ${step_id}. Its steps are in the plan's state.`
	throw new PlanstreamError('not_found', message, { step_id })
}

export function refuseOnPlan(fold: PlanFold, requested: PlanCommand): never {
	const { plan_id, status } = fold.state
	refuseTransition(`Plan ${plan_id}`, status, requested, ALLOWED_ON_PLAN[status])
}

/** Rejects a command that a step does not accept, given its status and its plan's. */
export function assertStepTakes(fold: PlanFold, step: StepState, requested: StepCommand): void {
	const allowed = listStepCommands(fold.state.status, step.status)
	if (!allowed.includes(requested)) refuseTransition(`Step ${step.step_id}`, step.status, requested, allowed)
}

export function refuseTransition(subject: string, from: string, requested: string, allowed: readonly string[]): never {
	const next = allowed.length === 0 ? 'Nothing is allowed in this state.' : `Allowed now: ${allowed.join(', ')}.`
	const message = `${subject} is ${from}, so ${requested} was refused. ${next}`
	throw new PlanstreamError('illegal_transition', message, { from, requested, allowed: [...allowed] })
}

/** Rejects a request because of the part at a path. */
export function refuseAt(path: string, message: string): never {
	throw new PlanstreamError('bad_request', `${path}: ${message}`, { path })
}
