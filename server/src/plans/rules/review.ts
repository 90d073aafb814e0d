import { type Json, type ParsedEvent, PlanstreamError, type StepState } from '@planstream/shared'
import type { PlanFold } from '../../hub/plan-fold.js'
import { getOwn } from '../../ops/json.js'
import { parseEdit } from '../agent-schemas.js'
import {
	type AttemptResult,
	assertStepTakes,
	type DecisionContext,
	getStep,
	listStepCommands,
	type ReviewAnswer,
	refuseTransition,
} from './input.js'
import { makeStepCompleted, makeStepFailed, rejectResult } from './outcome.js'
import { settle } from './settle.js'

type ReviewDecision = ReviewAnswer['decision'] | 'expired'

/** Answers an open review. Any second answer is rejected. */
export function answerReview(fold: PlanFold, answer: ReviewAnswer, context: DecisionContext): ParsedEvent[] {
	const step = findReview(fold, answer.review_id)
	assertStepTakes(fold, step, 'review')
	if (answer.decision === 'edit' && answer.payload === undefined) {
		throw new PlanstreamError('bad_request', 'payload: An edit needs the new result. Send it as payload.', {
			path: 'payload',
		})
	}
	if (answer.decision !== 'edit' && answer.payload !== undefined) {
		const message = `payload: The decision ${answer.decision} does not change the result. Leave payload out, or choose edit.`
		throw new PlanstreamError('bad_request', message, { path: 'payload' })
	}
	const { decision, comment, payload } = answer
	return resolve(
		fold,
		step,
		decision,
		{ ...(comment !== undefined && { comment }), ...(payload !== undefined && { payload }) },
		context,
	)
}

/** Resolves an expired review as the step declares. */
export function expireReview(fold: PlanFold, review_id: string, context: DecisionContext): ParsedEvent[] {
	const step = fold.state.steps.find((each) => each.review?.review_id === review_id)
	if (step === undefined || !listStepCommands(fold.state.status, step.status).includes('review')) return []
	return resolve(fold, step, 'expired', {}, context)
}

function findReview(fold: PlanFold, review_id: string): StepState {
	const step = fold.state.steps.find((each) => each.review?.review_id === review_id)
	if (step !== undefined) return step
	if (fold.resolved.includes(review_id)) refuseTransition(`Review ${review_id}`, 'resolved', 'review', [])
	const closed = getOwn(fold.closed, review_id)
	if (closed !== undefined) refuseTransition(`The step of review ${review_id}`, closed, 'review', [])
	const message = `Plan ${fold.state.plan_id} has no review ${review_id}. Its open reviews are in the state of its steps.`
	throw new PlanstreamError('not_found', message, { review_id })
}

function resolve(
	fold: PlanFold,
	step: StepState,
	decision: ReviewDecision,
	said: { readonly comment?: string; readonly payload?: Readonly<Record<string, Json>> },
	context: DecisionContext,
): ParsedEvent[] {
	const { step_id, attempt, review } = step
	const data = { review_id: review?.review_id ?? '', decision, ...said }
	const resolved: ParsedEvent = { event_type: 'review_resolved', step_id, attempt, data }
	return settle(fold, [resolved, ...applyDecision(fold, step, decision, said.payload, context)], context)
}

function applyDecision(
	fold: PlanFold,
	step: StepState,
	decision: ReviewDecision,
	payload: Readonly<Record<string, Json>> | undefined,
	context: DecisionContext,
): ParsedEvent[] {
	const { spec } = getStep(fold, step.step_id)
	const gate = spec.quality
	const held = getOwn(fold.held, step.step_id) as unknown as AttemptResult
	const approved = () => [makeStepCompleted(step, { ...held, quality_score: step.quality_score ?? undefined })]
	const { duration_ms } = held
	const refused = () => [rejectResult(step, spec, { why: 'The review rejected the result.', duration_ms }, context)]
	switch (decision) {
		case 'approve':
			return approved()
		case 'edit':
			return [
				makeStepCompleted(step, {
					...held,
					data: payload === undefined ? held.data : parseEdit(context.agents.get(step.agent_type)?.result, payload),
					quality_score: step.quality_score ?? undefined,
				}),
			]
		case 'reject':
			return refused()
		case 'expired': {
			if (gate?.review.on_expiry === 'approve') return approved()
			if (gate?.review.on_expiry === 'reject') return refused()
			const error = { code: 'review_expired', message: 'The review expired without an answer.', retryable: true }
			return [makeStepFailed(step, error, duration_ms)]
		}
	}
}
