import type { Check, QualityPolicy } from '@planstream/shared'

/** What an agent said of its own result. */
export interface Scored {
	readonly quality_score?: number | undefined
	readonly checks?: readonly Check[] | undefined
}

export interface Judgement {
	readonly decision: 'approved' | 'rejected' | 'review_required' | 'retry_suggested'
	/** One sentence for each thing that kept the result from being approved. */
	readonly reasons: string[]
}

/**
 * The gate of a step: compares the score and the named dimensions with the policy. A score or a dimension that is missing
 * counts as below the minimum.
 *
 * @param failuresLeft - whether a rejected result may be tried again
 */
export function judge(policy: QualityPolicy, { quality_score, checks = [] }: Scored, failuresLeft: boolean): Judgement {
	const reasons = shortfalls(policy, quality_score, checks)
	if (reasons.length > 0) {
		return { decision: policy.on_reject === 'retry' && failuresLeft ? 'retry_suggested' : 'rejected', reasons }
	}
	if (policy.require_review) return { decision: 'review_required', reasons: ['The plan asks for a review of every result.'] }
	if ((quality_score ?? 0) >= policy.approve_score) return { decision: 'approved', reasons }
	const reason = `The score ${quality_score} is not below ${policy.min_score} and not yet ${policy.approve_score}.`
	return { decision: 'review_required', reasons: [reason] }
}

function shortfalls(policy: QualityPolicy, score: number | undefined, checks: readonly Check[]): string[] {
	const reasons: string[] = []
	if (score === undefined) reasons.push('The result has no quality score.')
	else if (score < policy.min_score) reasons.push(`The score ${score} is below ${policy.min_score}.`)
	for (const dimension of policy.dimensions) {
		const check = checks.find(({ name }) => name === dimension)
		if (check === undefined) reasons.push(`The check ${dimension} is missing.`)
		else if (check.score < policy.min_score) reasons.push(`The check ${dimension} has ${check.score}, below ${policy.min_score}.`)
	}
	return reasons
}
