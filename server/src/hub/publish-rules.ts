import { type EventType, indexSteps, type ParsedEvent, PlanstreamError } from '@planstream/shared'
import { MAX_STEPS } from '@planstream/shared/schemas'
import type { PlanFold } from './plan-fold.js'

/** Maximum events of one plan; see PROTOCOL.md section 7. */
const MAX_PLAN_EVENTS = 1_000_000

export interface PublishRequest {
	readonly plan_id: string
	/** Events as the schema has parsed them. */
	readonly events: readonly ParsedEvent[]
	/** The same events as sent. */
	readonly sent: readonly unknown[]
	readonly expected_seq?: number
}

/**
 * Checks the parts of a batch that do not depend on the plan.
 *
 * @throws PlanstreamError `invalid_event`
 */
export function assertPublishable({ plan_id, events }: PublishRequest): void {
	const seen = new Set<string>()
	events.forEach((event, index) => {
		if (event.plan_id !== undefined && event.plan_id !== plan_id) {
			const message = `Event ${index} has plan_id ${event.plan_id}, but the request publishes to ${plan_id}. Remove plan_id or make them equal.`
			throw new PlanstreamError('invalid_event', message, { path: `events.${index}.plan_id` })
		}
		if (event.event_id === undefined) return
		if (seen.has(event.event_id)) {
			const message = `Event ${index} repeats the event_id ${event.event_id} of an earlier event in this batch. Give each event its own id.`
			throw new PlanstreamError('invalid_event', message, { path: `events.${index}.event_id` })
		}
		seen.add(event.event_id)
	})
}

/**
 * Refuses events of a plan that has reached its limit, because an unfinished plan is never trimmed. Callers skip it
 * for changes that bring a plan to its end.
 *
 * @throws PlanstreamError `plan_full`
 */
export function assertRoom(plan_id: string, fold: PlanFold | null, events: number): void {
	if ((fold?.state.seq ?? 0) + events <= MAX_PLAN_EVENTS) return
	const message = `Plan ${plan_id} has reached its limit of ${MAX_PLAN_EVENTS} events. Send fewer events, or continue under a new plan id.`
	throw new PlanstreamError('plan_full', message, { plan_id, limit: MAX_PLAN_EVENTS })
}

/**
 * Checks that a producer may add these events to a plan in its state. Only `plan_resumed` may follow `plan_failed` and `plan_cancelled`, and
 * no event may follow `plan_completed`.
 *
 * @throws PlanstreamError `plan_managed`, `plan_full`, `illegal_transition`
 */
export function assertOpenToProducers(fold: PlanFold | null, { plan_id, events }: PublishRequest): void {
	if (fold?.state.owner === 'managed') {
		const message = `Plan ${plan_id} runs on this server, so only its agents may add events. Publish to another plan id.`
		throw new PlanstreamError('plan_managed', message, { plan_id })
	}
	assertRoom(plan_id, fold, events.length)
	const maxSteps = (fold?.state.steps.length ?? 0) + events.length
	if (maxSteps > MAX_STEPS && countSteps(fold, events) > MAX_STEPS) {
		const message = `Plan ${plan_id} would have more than ${MAX_STEPS} steps. Use fewer steps, or continue under a new plan id.`
		throw new PlanstreamError('plan_full', message, { plan_id, limit: MAX_STEPS })
	}
	let status: string = fold?.state.status ?? 'pending'
	for (const event of events) {
		const allowed = getAllowed(status)
		if (allowed !== null && !allowed.includes(event.event_type)) {
			const next = allowed.length === 0 ? 'Its events are final; use a new plan id.' : `Only ${allowed.join(', ')} may follow.`
			const facts = { from: status, requested: event.event_type, allowed }
			throw new PlanstreamError(
				'illegal_transition',
				`Plan ${plan_id} is ${status}, so ${event.event_type} was refused. ${next}`,
				facts,
			)
		}
		status = getNextStatus(event.event_type) ?? status
	}
}

/** Counts the steps of the plan after these events: each step_id counts, even without a `plan_created`. */
function countSteps(fold: PlanFold | null, events: readonly ParsedEvent[]): number {
	const steps = fold?.state.steps ?? []
	const { places } = indexSteps(steps)
	const added = new Set<string>()
	for (const { step_id } of events) if (step_id !== null && !places.has(step_id)) added.add(step_id)
	return steps.length + added.size
}

/** Returns the event types that may follow in a status; null: any. */
function getAllowed(status: string): readonly EventType[] | null {
	if (status === 'completed') return []
	return status === 'failed' || status === 'cancelled' ? ['plan_resumed'] : null
}

function getNextStatus(event_type: EventType): string | null {
	switch (event_type) {
		case 'plan_completed':
			return 'completed'
		case 'plan_failed':
			return 'failed'
		case 'plan_cancelled':
			return 'cancelled'
		case 'plan_resumed':
			return 'running'
		default:
			return null
	}
}
