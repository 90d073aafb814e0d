import { createPlanstreamClient, type PlanEvent, type PlanSpec, PlanstreamError } from '@planstream/client'

const planstream = createPlanstreamClient({ url: 'http://localhost:3000' })

/** Narrows every type; a missing one would be a compile error at the end. */
export function wordsOf(event: PlanEvent): string {
	switch (event.event_type) {
		case 'plan_created':
			return event.data.spec.query
		case 'plan_started':
			return event.data.query
		case 'plan_completed':
			return event.data.status
		case 'plan_failed':
			return event.data.error.message
		case 'plan_pausing':
		case 'plan_paused':
			return event.data.mode
		case 'plan_resumed':
			return event.data.reason
		case 'plan_cancelling':
		case 'plan_cancelled':
			return event.data.reason ?? ''
		case 'plan_modified':
			return event.data.steps.map(({ step_id }) => step_id).join()
		case 'step_started':
			return event.data.name ?? event.step_id
		case 'step_progress':
			return event.data.message
		case 'step_output':
			return event.data.delta ?? ''
		case 'step_completed':
			return event.data.status
		case 'step_failed':
			return event.data.error.code
		case 'step_retrying':
			return event.data.reason
		case 'step_skipped':
		case 'step_cancelled':
			return event.data.reason
		case 'quality_check':
			return event.data.decision
		case 'review_required':
			return event.data.review_id
		case 'review_resolved':
			return event.data.decision
		case 'metrics_update':
			return Object.keys(event.data).join()
		case 'health_update':
			return event.data.component
		case 'error':
			return event.data.message
		case 'ping':
		case 'pong':
			return event.event_type
		default:
			return event satisfies never
	}
}

export async function follow(plan_id: string): Promise<string[]> {
	const words: string[] = []
	for await (const event of planstream.plans.events({ plan_id, event_types: ['step_progress', 'step_output'] }))
		words.push(wordsOf(event))
	return words
}

export const plan: PlanSpec = { query: 'Which?', steps: [{ step_id: 'one', action: 'look', agent_type: 'scripted' }] }
export const isFull = (error: unknown): boolean => error instanceof PlanstreamError && error.code === 'storage_full'

// @ts-expect-error no such field
export const misspelt = (event: PlanEvent) => event.sequence
// @ts-expect-error no such type
export const misnamed = (event: PlanEvent) => event.event_type === 'step_finished'
// @ts-expect-error a plan is named by its id
export const unnamed = () => planstream.plans.get({ plan: 'hello' })
// @ts-expect-error a step has an action
export const actionless: PlanSpec = { query: 'Which?', steps: [{ step_id: 'one', agent_type: 'scripted' }] }
