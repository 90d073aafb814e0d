import type { Check, Failure, Json, NormalisedStep, ParsedEvent, QualityPolicy, StepState } from '@planstream/shared'
import { formatReviewId, type PlanFold } from '../../hub/plan-fold.js'
import { getOwn } from '../../ops/json.js'
import type { AttemptResult, DecisionContext, Input, LossReason } from './input.js'

/** An agent's own assessment of its result. */
export interface Scored {
	readonly quality_score?: number | undefined
	readonly checks?: readonly Check[] | undefined
}

export interface QualityVerdict {
	readonly decision: 'approved' | 'rejected' | 'review_required' | 'retry_suggested'
	/** One sentence for each reason against approval. */
	readonly reasons: string[]
}

/**
 * Compares the score and the named dimensions of a result with the policy of its step's gate. A missing score or dimension
 * counts as below the minimum.
 *
 * @param failuresLeft - whether a rejected result may be retried
 */
export function assessQuality(
	policy: QualityPolicy,
	{ quality_score, checks = [] }: Scored,
	failuresLeft: boolean,
): QualityVerdict {
	const reasons = listShortfalls(policy, quality_score, checks)
	if (reasons.length > 0) {
		return { decision: policy.on_reject === 'retry' && failuresLeft ? 'retry_suggested' : 'rejected', reasons }
	}
	if (policy.require_review) return { decision: 'review_required', reasons: ['The plan requires a review of every result.'] }
	if ((quality_score ?? 0) >= policy.approve_score) return { decision: 'approved', reasons }
	const reason = `The score ${formatScore(quality_score ?? 0, policy.approve_score)} is at least ${policy.min_score}, but below ${policy.approve_score}.`
	return { decision: 'review_required', reasons: [reason] }
}

function listShortfalls(policy: QualityPolicy, score: number | undefined, checks: readonly Check[]): string[] {
	const reasons: string[] = []
	if (score === undefined) reasons.push('The result has no quality score.')
	else if (score < policy.min_score)
		reasons.push(`The score ${formatScore(score, policy.min_score)} is below ${policy.min_score}.`)
	for (const dimension of policy.dimensions) {
		const check = checks.find(({ name }) => name === dimension)
		if (check === undefined) reasons.push(`The check ${dimension} is missing.`)
		else if (check.score < policy.min_score)
			reasons.push(`The check ${dimension} has ${formatScore(check.score, policy.min_score)}, below ${policy.min_score}.`)
	}
	return reasons
}

/** Formats a score with two digits, and with more when it would otherwise read as the bound that it is below. */
function formatScore(score: number, bound: number): string {
	let digits = 2
	while (score < bound && Number(score.toFixed(digits)) >= bound && digits < 20) digits++
	return score.toFixed(digits)
}

type FailureInput = Extract<Input, { kind: 'failure' }>

/**
 * Computes the delay before the next attempt: `min(max_ms, initial_ms * factor^(failures - 1))`, with jitter drawn uniformly from 0 to that.
 *
 * @param failures - counted failures of the step, including this one
 * @param random - 0..1
 * @returns milliseconds
 */
export function computeRetryDelay(policy: NormalisedStep['retry'], failures: number, random: number): number {
	const ceiling = Math.min(policy.max_ms, policy.initial_ms * policy.factor ** (failures - 1))
	return Math.round(policy.jitter ? ceiling * random : ceiling)
}

/** Handles an attempt that threw or timed out. */
export function handleFailure(
	state: StepState,
	spec: NormalisedStep,
	input: FailureInput,
	context: DecisionContext,
): ParsedEvent[] {
	const { reason, error, duration_ms } = input
	const failures = state.failures + 1
	if (!error.retryable || failures >= spec.retry.max_attempts) return [makeStepFailed(state, error, duration_ms)]
	return [makeStepRetrying(state, reason, computeRetryDelay(spec.retry, failures, context.random), error)]
}

/** Handles an attempt whose worker is gone. Planned stops and pauses cost nothing; a crash loop has its own limit. */
export function handleLoss(
	fold: PlanFold,
	state: StepState,
	spec: NormalisedStep,
	reason: LossReason,
	now: number,
): ParsedEvent[] {
	const losses = (getOwn(fold.leases, state.step_id)?.losses ?? 0) + 1
	// A cancelled plan runs no step again, so an interrupted step that does was paused.
	if (reason !== 'worker_lost') return [makeStepRetrying(state, reason === 'interrupted' ? 'paused' : reason, 0)]
	if (losses <= spec.retry.max_lost) return [makeStepRetrying(state, reason, 0)]
	const message = `The worker was lost ${losses} times without any progress in between.`
	const duration_ms = state.started_at === null ? 0 : Math.max(0, now - Date.parse(state.started_at))
	return [makeStepFailed(state, { code: 'worker_lost', message, retryable: true }, duration_ms)]
}

/** Handles a result: completes the step, or sends the result through the gate. */
export function handleResult(
	state: StepState,
	spec: NormalisedStep,
	result: AttemptResult,
	context: DecisionContext,
): ParsedEvent[] {
	if (spec.quality === null) return [makeStepCompleted(state, result)]
	const failuresLeft = state.failures + 1 < spec.retry.max_attempts
	const judgement = assessQuality(spec.quality, result, failuresLeft)
	const checked = makeQualityCheck(state, spec.quality, result, judgement)
	const why = judgement.reasons.join(' ')
	switch (judgement.decision) {
		case 'approved':
			return [checked, makeStepCompleted(state, result)]
		case 'review_required':
			return [checked, makeReviewRequired(state, spec.quality, result, why, context.now)]
		case 'retry_suggested':
		case 'rejected':
			return [checked, rejectResult(state, spec, { why, duration_ms: result.duration_ms }, context)]
	}
}

/** Handles a result that the gate or a reviewer rejected. */
export function rejectResult(
	state: StepState,
	spec: NormalisedStep,
	{ why, duration_ms }: { readonly why: string; readonly duration_ms: number },
	context: DecisionContext,
): ParsedEvent {
	const { step_id, attempt } = state
	const failures = state.failures + 1
	const error = { code: 'quality_rejected', message: why, retryable: true }
	const on_reject = spec.quality?.on_reject ?? 'fail'
	if (on_reject === 'skip') return { event_type: 'step_skipped', step_id, attempt, data: { reason: 'quality_rejected' } }
	if (on_reject === 'fail' || failures >= spec.retry.max_attempts) return makeStepFailed(state, error, duration_ms)
	return makeStepRetrying(state, 'quality', computeRetryDelay(spec.retry, failures, context.random), error)
}

export function makeStepCompleted(state: StepState, result: AttemptResult): ParsedEvent {
	const { step_id, attempt, agent_type } = state
	const { data, quality_score = null, artifacts, usage, duration_ms } = result
	return {
		event_type: 'step_completed',
		step_id,
		attempt,
		data: {
			status: 'success',
			agent_type,
			quality_score,
			data,
			progress: 1,
			duration_ms,
			artifacts: [...artifacts],
			...(usage !== null && { usage }),
		},
	}
}

/** @param duration_ms - time that the agent took, without the wait for a review */
export function makeStepFailed(state: StepState, error: Failure, duration_ms: number): ParsedEvent {
	const { step_id, attempt } = state
	return { event_type: 'step_failed', step_id, attempt, data: { error, attempt, duration_ms } }
}

function makeStepRetrying(
	state: StepState,
	reason: 'error' | 'timeout' | 'quality' | 'paused' | Exclude<LossReason, 'interrupted'>,
	delay_ms: number,
	error?: Failure,
): ParsedEvent {
	const { step_id, attempt } = state
	const data = { reason, next_attempt: attempt + 1, delay_ms, ...(error !== undefined && { error }) }
	return { event_type: 'step_retrying', step_id, attempt, data }
}

function makeQualityCheck(
	state: StepState,
	gate: NonNullable<NormalisedStep['quality']>,
	{ quality_score = null, checks = [] }: { quality_score?: number | null | undefined; checks?: AttemptResult['checks'] },
	{ decision, reasons }: ReturnType<typeof assessQuality>,
): ParsedEvent {
	const { step_id, attempt } = state
	const { min_score, approve_score } = gate
	const passed = decision === 'approved'
	const data = { quality_score, decision, passed, min_score, approve_score, checks: [...checks], reasons }
	return { event_type: 'quality_check', step_id, attempt, data }
}

function makeReviewRequired(
	state: StepState,
	gate: NonNullable<NormalisedStep['quality']>,
	result: AttemptResult,
	reason: string,
	now: number,
): ParsedEvent {
	const { step_id, attempt } = state
	const { expires_ms } = gate.review
	const { data: content, quality_score = null, checks = [], artifacts, usage, duration_ms } = result
	const payload: Json = { data: content, checks: [...checks] as Json[], artifacts: [...artifacts] as Json[], usage, duration_ms }
	return {
		event_type: 'review_required',
		step_id,
		attempt,
		data: {
			review_id: formatReviewId(state),
			reason,
			quality_score,
			options: ['approve', 'reject', 'edit'],
			payload,
			expires_at: expires_ms === null ? null : new Date(now + expires_ms).toISOString(),
		},
	}
}
