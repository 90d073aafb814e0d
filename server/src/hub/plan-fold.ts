import {
	type Artifact,
	applyEvent,
	COMMAND_ID_PREFIX,
	indexSteps,
	initialPlanState,
	isFinished,
	type Json,
	type NormalisedPlan,
	type PlanEvent,
	type PlanOwner,
	type PlanState,
	type PlanStatus,
	type PlanSummary,
	type StepState,
} from '@planstream/shared'
import { getOwn } from './stream.js'

/** What one step's attempts have left behind that a viewer has no use for. */
interface StepLease {
	/** The worker of the current attempt: with `attempt` it fences results and progress. */
	readonly worker_id: string
	/** Workers lost since the last progress or result; `retry.max_lost` ends a crash loop. */
	readonly losses: number
}

/** How a command with an idempotency key was answered. */
export interface CommandAnswer {
	readonly name: string
	readonly digest: string
	/** Sequence number of the command's last event. */
	readonly seq: number
	readonly status: PlanStatus
	readonly revision: number
}

/** Everything a server needs to go on with a plan: what viewers see, the graph with its policies, and what its control has to remember. */
export interface PlanFold {
	readonly state: PlanState
	/** The plan as it stands after all modifications; null for a plan run elsewhere that never said it. */
	readonly plan: NormalisedPlan | null
	/** The plan as it was created: what the same create again is compared with. */
	readonly created: NormalisedPlan | null
	/** By step id; of completed steps none. */
	readonly leases: Readonly<Record<string, StepLease>>
	/** Results of managed plans that are too large to stand in the state, by step id. */
	readonly large_results: Readonly<Record<string, Json>>
	/** Characters of output in all. */
	readonly output_characters: number
	/** Every file its steps have made, by id; a plan that is run elsewhere has none here, whatever it says. */
	readonly artifacts: Readonly<Record<string, Artifact>>
	/** What is held back until its review is answered, by step id. */
	readonly held: Readonly<Record<string, Json>>
	/** From when the plan's timeout counts. */
	readonly clock_from: string | null
	/** The pause under way or in force, and since when. */
	readonly pause: { readonly mode: 'drain' | 'interrupt'; readonly reason: string | null; readonly since: string } | null
	/** The cancelling under way; one by the plan's timeout ends as failed. */
	readonly cancel: { readonly reason: string | null; readonly timed_out: boolean } | null
	/** For each skipped step the failed one that caused it, or null when somebody skipped it or its gate did. */
	readonly skipped_by: Readonly<Record<string, string | null>>
	/** Reviews that have been answered. */
	readonly resolved: readonly string[]
	/** Reviews that nobody can answer any more, by their ids: what has become of their steps instead. */
	readonly closed: Readonly<Record<string, 'skipped' | 'cancelled'>>
	/** Ids of removed steps, which are never used again. */
	readonly removed: readonly string[]
	/** Answers to commands by their idempotency keys. */
	readonly commands: Readonly<Record<string, CommandAnswer>>
	/** The command whose events are being folded, until its last one. */
	readonly command: { readonly key: string; readonly name: string; readonly digest: string; readonly last_seq: number } | null
}

export function initialFold(plan_id: string, owner: PlanOwner): PlanFold {
	return {
		state: initialPlanState(plan_id, owner),
		plan: null,
		created: null,
		leases: {},
		large_results: {},
		output_characters: 0,
		artifacts: {},
		held: {},
		clock_from: null,
		pause: null,
		cancel: null,
		skipped_by: {},
		resolved: [],
		closed: {},
		removed: [],
		commands: {},
		command: null,
	}
}

/** The fold after one more event: pure and total, like the reducer it wraps. */
export function foldEvent(fold: PlanFold, event: PlanEvent): PlanFold {
	const next = { ...fold, state: applyEvent(fold.state, event) }
	return foldCommand(event.step_id === null ? foldPlanEvent(next, event) : foldStepEvent(next, event, event.step_id), event)
}

function foldPlanEvent(fold: PlanFold, event: PlanEvent): PlanFold {
	const { timestamp } = event
	switch (event.event_type) {
		case 'plan_created':
			return { ...fold, plan: event.data.spec, created: event.data.spec }
		case 'plan_modified':
			return modified(fold, event.data.steps)
		case 'plan_started':
			return { ...fold, clock_from: timestamp }
		case 'plan_pausing':
		case 'plan_paused':
			return { ...fold, pause: { mode: event.data.mode, reason: event.data.reason ?? null, since: timestamp } }
		case 'plan_resumed':
			return { ...fold, pause: null, cancel: null, ...(event.data.reason === 'retry' && { clock_from: timestamp }) }
		case 'plan_cancelling':
			return { ...fold, cancel: { reason: event.data.reason ?? null, timed_out: event.data.timed_out } }
		default:
			return fold
	}
}

function foldStepEvent(fold: PlanFold, event: PlanEvent, step_id: string): PlanFold {
	const lease = getOwn(fold.leases, step_id)
	switch (event.event_type) {
		case 'step_started':
			return withLease(fold, step_id, { worker_id: event.data.worker_id ?? '', losses: lease?.losses ?? 0 })
		case 'step_output':
			return { ...fold, output_characters: fold.output_characters + (event.data.delta?.length ?? 0) }
		case 'step_progress':
			return lease === undefined || lease.losses === 0 ? fold : withLease(fold, step_id, { ...lease, losses: 0 })
		case 'step_retrying':
			if (event.data.reason === 'manual') return { ...fold, skipped_by: without(fold.skipped_by, step_id) }
			if (event.data.reason !== 'worker_lost') return fold
			return withLease(fold, step_id, { worker_id: '', losses: (lease?.losses ?? 0) + 1 })
		case 'step_skipped':
			return {
				...withoutReview(fold, step_id, 'skipped'),
				skipped_by: { ...fold.skipped_by, [step_id]: event.data.cause_step_id ?? null },
			}
		case 'step_cancelled':
			return withoutReview(fold, step_id, 'cancelled')
		case 'step_completed': {
			const ended = lease === undefined ? fold : { ...fold, leases: without(fold.leases, step_id) }
			if (fold.state.owner === 'external') return ended
			const kept = withArtifacts(ended, event.data.artifacts)
			if (stepOf(fold.state, step_id)?.result_seq === undefined) return kept
			return { ...kept, large_results: { ...fold.large_results, [step_id]: event.data.data } }
		}
		case 'review_required': {
			if (fold.state.owner === 'external') return fold
			const { payload } = event.data
			return { ...withArtifacts(fold, artifactsIn(payload)), held: { ...fold.held, [step_id]: payload } }
		}
		case 'review_resolved':
			return { ...fold, held: without(fold.held, step_id), resolved: [...fold.resolved, event.data.review_id] }
		default:
			return fold
	}
}

function modified(fold: PlanFold, steps: NormalisedPlan['steps']): PlanFold {
	if (fold.plan === null) return fold
	const kept = new Set(steps.map((step) => step.step_id))
	const gone = fold.plan.steps.flatMap(({ step_id }) => (kept.has(step_id) ? [] : [step_id]))
	return { ...fold, plan: { ...fold.plan, steps }, removed: [...fold.removed, ...gone] }
}

/** Remembers how a command with a key was answered: the fold at its last event. */
function foldCommand(fold: PlanFold, event: PlanEvent): PlanFold {
	const { seq, event_id } = event
	const mark = event.command
	const command =
		mark === undefined
			? fold.command
			: { key: event_id.slice(COMMAND_ID_PREFIX.length), name: mark.name, digest: mark.digest, last_seq: seq + mark.events - 1 }
	if (command === null || seq < command.last_seq) return command === fold.command ? fold : { ...fold, command }
	const { status, revision } = fold.state
	const { key, name, digest } = command
	return { ...fold, command: null, commands: { ...fold.commands, [key]: { name, digest, seq, status, revision } } }
}

function withArtifacts(fold: PlanFold, artifacts: readonly Artifact[]): PlanFold {
	if (artifacts.length === 0) return fold
	const added = Object.fromEntries(artifacts.map((artifact) => [artifact.artifact_id, artifact]))
	return { ...fold, artifacts: { ...fold.artifacts, ...added } }
}

/** The files of a result that is held back, as this server wrote them into the review. */
function artifactsIn(payload: Json): readonly Artifact[] {
	if (typeof payload !== 'object' || payload === null || !('artifacts' in payload)) return []
	return payload.artifacts as unknown as readonly Artifact[]
}

/** The name of the review of a step's current attempt. */
export function reviewIdOf({ step_id, attempt }: Pick<StepState, 'step_id' | 'attempt'>): string {
	return `${step_id}.${attempt}`
}

/** Lets go of what is held back for a review when its step has ended in another way. */
function withoutReview(fold: PlanFold, step_id: string, instead: 'skipped' | 'cancelled'): PlanFold {
	const step = stepOf(fold.state, step_id)
	if (step === undefined || getOwn(fold.held, step_id) === undefined) return fold
	return { ...fold, held: without(fold.held, step_id), closed: { ...fold.closed, [reviewIdOf(step)]: instead } }
}

function without<Value>(record: Readonly<Record<string, Value>>, key: string): Readonly<Record<string, Value>> {
	const { [key]: _gone, ...rest } = record
	return rest
}

export function stepOf(state: PlanState, step_id: string): StepState | undefined {
	return state.steps[indexSteps(state.steps).places.get(step_id) ?? -1]
}

/** The result of a completed step; null for any other. */
export function resultOf(fold: PlanFold, step_id: string): Json {
	const step = stepOf(fold.state, step_id)
	if (step?.status !== 'completed') return null
	return step.result ?? getOwn(fold.large_results, step_id) ?? null
}

function withLease(fold: PlanFold, step_id: string, lease: StepLease): PlanFold {
	return { ...fold, leases: { ...fold.leases, [step_id]: lease } }
}

/** The line of the plan list that a state stands for. */
export function summarise(state: PlanState, updated_at: string): PlanSummary {
	const { plan_id, owner, status, query, labels, revision, progress, created_at, started_at, finished_at } = state
	const times = { created_at: created_at ?? updated_at, started_at, finished_at, updated_at }
	return { plan_id, owner, status, finished: isFinished(status), query, labels, revision, progress, ...times }
}
