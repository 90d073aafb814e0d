import type { PlanState } from '@planstream/shared'

/** Something a person may want to do next, and what to type for it. */
export interface Hint {
	readonly wish: string
	readonly command: string
}

/** Open reviews that are named; the command lists the others. */
const NAMED_REVIEWS = 3

/** What can be typed next for a plan that waits for somebody; nothing for one that goes its way, and for one that is run elsewhere. */
export function hints({ plan_id, owner, status, steps }: PlanState): Hint[] {
	if (owner === 'external') return []
	const type = (wish: string, command: string, more = ''): Hint => ({
		wish,
		command: `planstream ${command} ${plan_id}${more}`,
	})
	const reviews = steps
		.flatMap(({ review }) => (review === null ? [] : [review.review_id]))
		.slice(0, NAMED_REVIEWS)
		.flatMap((id, index) => [
			...(index === 0 ? [type('see it', 'review')] : []),
			type('answer it', 'review', ` ${id} approve | reject | edit`),
		])
	const failed = steps.find((step) => step.status === 'failed')
	const one = failed === undefined ? [] : [type('one step', 'retry', ` ${failed.step_id}`)]
	switch (status) {
		case 'pending':
			return [type('start it', 'start')]
		case 'running':
			return reviews
		case 'pausing':
			return [...reviews, type('hurry', 'pause', ' --interrupt'), type('go on', 'resume')]
		case 'paused':
			return [...reviews, type('go on', 'resume'), type('change it', 'modify', ' FILE'), type('give up', 'cancel')]
		case 'failed':
			return [type('try again', 'retry'), ...one, type('change it', 'modify', ' FILE')]
		case 'cancelled':
			return [type('try again', 'retry')]
		case 'cancelling':
		case 'completed':
			return []
		default:
			status satisfies never
			return []
	}
}
