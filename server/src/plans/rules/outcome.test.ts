import { planSpec } from '@planstream/shared/schemas'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { assessQuality, computeRetryDelay } from './outcome.js'

const { steps } = planSpec.parse({
	query: 'q',
	steps: [{ step_id: 'a', action: 'x', agent_type: 'y', quality: { dimensions: ['d'] } }],
})
const [spec] = steps
if (spec?.quality == null) throw new TypeError('the specification has a gate')
const gate = spec.quality

describe('computeRetryDelay', () => {
	it('follows min(max_ms, initial_ms * factor^(failures - 1))', () => {
		const policy = { ...spec.retry, jitter: false, initial_ms: 100, factor: 3, max_ms: 1000 }
		expect([1, 2, 3, 4, 5].map((failures) => computeRetryDelay(policy, failures, 0.5))).toEqual([100, 300, 900, 1000, 1000])
	})

	it('is drawn uniformly from 0 to the formula when jitter is on', () => {
		fc.assert(
			fc.property(fc.integer({ min: 1, max: 20 }), fc.double({ min: 0, max: 1, noNaN: true }), (failures, random) => {
				const ceiling = computeRetryDelay({ ...spec.retry, jitter: false }, failures, 0)
				expect(computeRetryDelay(spec.retry, failures, random)).toBe(Math.round(ceiling * random))
			}),
		)
	})
})

describe('assessQuality', () => {
	const good = [{ name: 'd', score: 0.9, passed: true }]
	const decision = (score: number | undefined, checks = good, left = true, policy = gate) =>
		assessQuality(policy, { quality_score: score, checks }, left).decision

	it('approves from approve_score on and requests a review between the two scores', () => {
		expect(decision(0.85)).toBe('approved')
		expect(decision(0.84)).toBe('review_required')
		expect(decision(0.6)).toBe('review_required')
		expect(decision(1, good, true, { ...gate, require_review: true })).toBe('review_required')
	})

	it('suggests a retry below min_score while attempts are left, and rejects after that', () => {
		expect(decision(0.59)).toBe('retry_suggested')
		expect(decision(0.59, good, false)).toBe('rejected')
		expect(decision(0.59, good, true, { ...gate, on_reject: 'skip' })).toBe('rejected')
	})

	it('treats a missing score and a missing or low dimension as too low, and names it', () => {
		expect(decision(undefined)).toBe('retry_suggested')
		expect(decision(1, [])).toBe('retry_suggested')
		expect(decision(1, [{ name: 'd', score: 0.5, passed: false }])).toBe('retry_suggested')
		expect(assessQuality(gate, { quality_score: 1 }, true).reasons).toEqual(['The check d is missing.'])
	})

	it('tells scores with two digits, and with more when two would read as the bound', () => {
		const tell = (score: number, each = score) =>
			assessQuality(gate, { quality_score: score, checks: [{ name: 'd', score: each, passed: false }] }, true).reasons
		expect(tell(1 / 3)).toEqual(['The score 0.33 is below 0.6.', 'The check d has 0.33, below 0.6.'])
		expect(tell(0.59996, 0.599)).toEqual(['The score 0.59996 is below 0.6.', 'The check d has 0.599, below 0.6.'])
		expect(tell(2 / 3)).toEqual(['The score 0.67 is at least 0.6, but below 0.85.'])
	})
})
