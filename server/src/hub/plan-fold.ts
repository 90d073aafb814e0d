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
	PlanstreamError,
	type StepState,
} from '@planstream/shared'
import { getOwn } from '../ops/json.js'

/** Bookkeeping of a step's attempts that viewers never see. */
interface StepLease {
	/** Worker of the current attempt; with `attempt` it fences results and progress. */
	readonly worker_id: string
	/** Workers lost since the last progress or result; `retry.max_lost` ends a crash loop. */
	readonly losses: number
}

/** The answer to a command with an idempotency key. */
export interface CommandAnswer {
	readonly name: string
	readonly digest: string
	/** Sequence number of the command's last event. */
	readonly seq: number
	readonly status: PlanStatus
	readonly revision: number
}

/** Everything needed to continue a plan: the state that viewers see, the graph with its policies, and the bookkeeping of control. */
export interface PlanFold {
	readonly state: PlanState
	/** The plan after all modifications; null for an external plan without `plan_created`. */
	readonly plan: NormalisedPlan | null
	/** The plan as created, which a repeated create is compared with. */
	readonly created: NormalisedPlan | null
	/** Leases by step id, without completed steps. */
	readonly leases: Readonly<Record<string, StepLease>>
	/** Results of managed plans that are too large for the state, by step id. */
	readonly large_results: Readonly<Record<string, Json>>
	/** Total characters of output. */
	readonly output_characters: number
	/** Artifacts of all steps, by id; empty for an external plan, whatever its events list. */
	readonly artifacts: Readonly<Record<string, Artifact>>
	/** Results held back until their review is answered, by step id. */
	readonly held: Readonly<Record<string, Json>>
	/** Start of the plan's timeout. */
	readonly clock_from: string | null
	/** The pause under way or in force. */
	readonly pause: { readonly mode: 'drain' | 'interrupt'; readonly reason: string | null; readonly since: string } | null
	/** The cancellation under way; one caused by the plan's timeout ends as failed. */
	readonly cancel: { readonly reason: string | null; readonly timed_out: boolean } | null
	/** The failed step that caused each skip, by step id; null for a skip by command or by gate. */
	readonly skipped_by: Readonly<Record<string, string | null>>
	/** Ids of answered reviews. */
	readonly resolved: readonly string[]
	/** Reviews that ended without an answer, by id, with the outcome of their step. */
	readonly closed: Readonly<Record<string, 'skipped' | 'cancelled'>>
	/** Ids of removed steps, which are never reused. */
	readonly removed: readonly string[]
	/** Answers to commands, by idempotency key. */
	readonly commands: Readonly<Record<string, CommandAnswer>>
	/** The command whose events are being folded; null after its last event. */
	readonly command: { readonly key: string; readonly name: string; readonly digest: string; readonly last_seq: number } | null
}

/** Makes the error for an unknown plan. A plan of another tenant is just as unknown as one that never existed. */
export function unknownPlan(plan_id: string): PlanstreamError {
	return new PlanstreamError('not_found', `There is no plan ${plan_id}. Check the id, or create the plan first.`, { plan_id })
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

/** Returns the fold after one more event: pure and total, like the reducer it wraps. */
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
			return applyModification(fold, event.data.steps)
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
			return setLease(fold, step_id, { worker_id: event.data.worker_id ?? '', losses: lease?.losses ?? 0 })
		case 'step_output':
			return { ...fold, output_characters: fold.output_characters + (event.data.delta?.length ?? 0) }
		case 'step_progress':
			return lease === undefined || lease.losses === 0 ? fold : setLease(fold, step_id, { ...lease, losses: 0 })
		case 'step_retrying':
			if (event.data.reason === 'manual') return { ...fold, skipped_by: omit(fold.skipped_by, step_id) }
			if (event.data.reason !== 'worker_lost') return fold
			return setLease(fold, step_id, { worker_id: '', losses: (lease?.losses ?? 0) + 1 })
		case 'step_skipped':
			return {
				...closeReview(fold, step_id, 'skipped'),
				skipped_by: { ...fold.skipped_by, [step_id]: event.data.cause_step_id ?? null },
			}
		case 'step_cancelled':
			return closeReview(fold, step_id, 'cancelled')
		case 'step_completed': {
			const ended = lease === undefined ? fold : { ...fold, leases: omit(fold.leases, step_id) }
			if (fold.state.owner === 'external') return ended
			const kept = addArtifacts(ended, listNamed(event))
			if (findStep(fold.state, step_id)?.result_seq === undefined) return kept
			return { ...kept, large_results: { ...fold.large_results, [step_id]: event.data.data } }
		}
		case 'review_required': {
			if (fold.state.owner === 'external') return fold
			const { payload } = event.data
			return { ...addArtifacts(fold, listNamed(event)), held: { ...fold.held, [step_id]: payload } }
		}
		case 'review_resolved':
			return { ...fold, held: omit(fold.held, step_id), resolved: [...fold.resolved, event.data.review_id] }
		default:
			return fold
	}
}

function applyModification(fold: PlanFold, steps: NormalisedPlan['steps']): PlanFold {
	if (fold.plan === null) return fold
	const kept = new Set(steps.map((step) => step.step_id))
	const gone = fold.plan.steps.flatMap(({ step_id }) => (kept.has(step_id) ? [] : [step_id]))
	return { ...fold, plan: { ...fold.plan, steps }, removed: [...fold.removed, ...gone] }
}

/** Records the answer to a command with a key: status and revision at its last event. */
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
	const answer = { name, digest, seq, status, revision }
	return { ...fold, command: null, commands: keepNewest({ ...fold.commands, [key]: answer }) }
}

/** Answers to commands that a plan remembers. */
const MAX_COMMANDS = 1000

/** Drops the oldest answers, a tenth at a time, so that most commands do not sort. */
function keepNewest(commands: PlanFold['commands']): PlanFold['commands'] {
	const entries = Object.entries(commands)
	if (entries.length <= MAX_COMMANDS * 1.1) return commands
	return Object.fromEntries(entries.sort(([, a], [, b]) => b.seq - a.seq).slice(0, MAX_COMMANDS))
}

/** Lists the artifacts that an event of a managed plan names. */
export function listNamed(event: Pick<PlanEvent, 'event_type' | 'data'>): readonly Artifact[] {
	const { event_type, data } = event as PlanEvent
	if (event_type === 'step_completed') return data.artifacts
	return event_type === 'review_required' ? listArtifacts(data.payload) : []
}

/** Lists the artifacts that a state names: those of its steps, and of results that wait for their review. */
function listStateArtifacts({ state, held }: PlanFold): readonly Artifact[] {
	return [...state.steps.flatMap(({ artifacts }) => artifacts), ...Object.values(held).flatMap(listArtifacts)]
}

/** Drops the artifacts of a fold that its state does not name: with the events that did, they are gone. */
export function forgetUnnamed(fold: PlanFold): PlanFold {
	const named = listStateArtifacts(fold).filter(({ artifact_id }) => Object.hasOwn(fold.artifacts, artifact_id))
	return { ...fold, artifacts: Object.fromEntries(named.map((artifact) => [artifact.artifact_id, artifact])) }
}

function addArtifacts(fold: PlanFold, artifacts: readonly Artifact[]): PlanFold {
	if (artifacts.length === 0) return fold
	const added = Object.fromEntries(artifacts.map((artifact) => [artifact.artifact_id, artifact]))
	return { ...fold, artifacts: { ...fold.artifacts, ...added } }
}

/** Lists the artifacts of a held-back result, as this server wrote them into the review. */
function listArtifacts(payload: Json): readonly Artifact[] {
	if (typeof payload !== 'object' || payload === null || !('artifacts' in payload)) return []
	return payload.artifacts as unknown as readonly Artifact[]
}

/** Returns the id of the review of a step's current attempt. */
export function formatReviewId({ step_id, attempt }: Pick<StepState, 'step_id' | 'attempt'>): string {
	return `${step_id}.${attempt}`
}

/** Drops a held-back result when its step was skipped or cancelled instead of reviewed. */
function closeReview(fold: PlanFold, step_id: string, instead: 'skipped' | 'cancelled'): PlanFold {
	const step = findStep(fold.state, step_id)
	if (step === undefined || getOwn(fold.held, step_id) === undefined) return fold
	return { ...fold, held: omit(fold.held, step_id), closed: { ...fold.closed, [formatReviewId(step)]: instead } }
}

function omit<Value>(record: Readonly<Record<string, Value>>, key: string): Readonly<Record<string, Value>> {
	const { [key]: _gone, ...rest } = record
	return rest
}

export function findStep(state: PlanState, step_id: string): StepState | undefined {
	return state.steps[indexSteps(state.steps).places.get(step_id) ?? -1]
}

/** Returns the result of a completed step; null for any other. */
export function getResult(fold: PlanFold, step_id: string): Json {
	const step = findStep(fold.state, step_id)
	if (step?.status !== 'completed') return null
	return step.result ?? getOwn(fold.large_results, step_id) ?? null
}

function setLease(fold: PlanFold, step_id: string, lease: StepLease): PlanFold {
	return { ...fold, leases: { ...fold.leases, [step_id]: lease } }
}

/** Makes the entry of the plan list for a state. */
export function summarise(state: PlanState, updated_at: string): PlanSummary {
	const { plan_id, owner, status, query, labels, revision, progress, created_at, started_at, finished_at, origin } = state
	const times = { created_at: created_at ?? updated_at, started_at, finished_at, updated_at }
	return {
		plan_id,
		owner,
		status,
		finished: isFinished(status),
		query,
		labels,
		revision,
		progress,
		open_reviews: indexSteps(state.steps).counts.awaiting_review,
		...times,
		...(origin && { origin }),
	}
}
