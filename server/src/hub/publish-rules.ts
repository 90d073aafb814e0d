import { type EventType, indexSteps, type ParsedEvent, PlanstreamError } from '@planstream/shared'
import { MAX_STEPS } from '@planstream/shared/schemas'
import type { PlanFold } from './plan-fold.js'

/** Limit of events in one plan; see PROTOCOL.md section 7. */
const MAX_PLAN_EVENTS = 1_000_000

export interface PublishRequest {
	readonly plan_id: string
	/** Checked by the schema. */
	readonly events: readonly ParsedEvent[]
	/** The same events as they were sent. */
	readonly sent: readonly unknown[]
	readonly expected_seq?: number
}

/** What can be said of a batch without knowing the plan. */
export function assertPublishable({ plan_id, events }: PublishRequest): void {
	const seen = new Set<string>()
	events.forEach((event, index) => {
		if (event.plan_id !== undefined && event.plan_id !== plan_id) {
			const sentence = `Event ${index} names plan ${event.plan_id}, but the request publishes to ${plan_id}. Leave plan_id out or make them equal.`
			throw new PlanstreamError('invalid_event', sentence, { path: `events.${index}.plan_id` })
		}
		if (event.event_id === undefined) return
		if (seen.has(event.event_id)) {
			const sentence = `Event ${index} has the event_id ${event.event_id}, which stands in this batch before. Give each event its own id.`
			throw new PlanstreamError('invalid_event', sentence, { path: `events.${index}.event_id` })
		}
		seen.add(event.event_id)
	})
}

/**
 * Refuses what is not needed to bring a plan to its end once the plan is very long: a plan that is not finished is never trimmed.
 *
 * @throws PlanstreamError `plan_full`
 */
export function assertRoom(plan_id: string, fold: PlanFold | null, events: number): void {
	if ((fold?.state.seq ?? 0) + events <= MAX_PLAN_EVENTS) return
	const sentence = `Plan ${plan_id} has reached its limit of ${MAX_PLAN_EVENTS} events. Report less, or go on under a new plan id.`
	throw new PlanstreamError('plan_full', sentence, { plan_id, limit: MAX_PLAN_EVENTS })
}

/** An end stays an end: what a producer may add to a plan in its state. */
export function assertOpenToProducers(fold: PlanFold | null, { plan_id, events }: PublishRequest): void {
	if (fold?.state.owner === 'managed') {
		const sentence = `Plan ${plan_id} is run by this server, so only its own agents add events. Publish to another plan id.`
		throw new PlanstreamError('plan_managed', sentence, { plan_id })
	}
	assertRoom(plan_id, fold, events.length)
	const mayName = (fold?.state.steps.length ?? 0) + events.length
	if (mayName > MAX_STEPS && stepsAfter(fold, events) > MAX_STEPS) {
		const sentence = `Plan ${plan_id} would have more than ${MAX_STEPS} steps. Name fewer steps, or go on under a new plan id.`
		throw new PlanstreamError('plan_full', sentence, { plan_id, limit: MAX_STEPS })
	}
	let status: string = fold?.state.status ?? 'pending'
	for (const event of events) {
		const allowed = allowedAfter(status)
		if (allowed !== null && !allowed.includes(event.event_type)) {
			const next = allowed.length === 0 ? 'Its events are final; use a new plan id.' : `Only ${allowed.join(', ')} may follow.`
			const facts = { from: status, requested: event.event_type, allowed }
			throw new PlanstreamError(
				'illegal_transition',
				`Plan ${plan_id} is ${status}, so ${event.event_type} was refused. ${next}`,
				facts,
			)
		}
		status = statusAfter(event.event_type) ?? status
	}
}

/** How many steps the plan has once these events are in its log: each one somebody names is one. */
function stepsAfter(fold: PlanFold | null, events: readonly ParsedEvent[]): number {
	const steps = fold?.state.steps ?? []
	const { places } = indexSteps(steps)
	const added = new Set<string>()
	for (const { step_id } of events) if (step_id !== null && !places.has(step_id)) added.add(step_id)
	return steps.length + added.size
}

/** Event types that may follow in a finished plan; null: any. */
function allowedAfter(status: string): readonly EventType[] | null {
	if (status === 'completed') return []
	return status === 'failed' || status === 'cancelled' ? ['plan_resumed'] : null
}

function statusAfter(event_type: EventType): string | null {
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
