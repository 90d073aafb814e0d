import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Backoff, DEFAULT_BACKOFF, drawBackoffDelay } from './timing.js'

describe('drawBackoffDelay', () => {
	it('draws uniformly between 0 and a bound that doubles up to its limit', () => {
		const bounds = [1, 2, 3, 7, 8, 100].map((failures) => drawBackoffDelay(failures, () => 1, DEFAULT_BACKOFF))
		expect(bounds).toEqual([500, 1000, 2000, 30_000, 30_000, 30_000])
		expect(drawBackoffDelay(2, () => 0.25, DEFAULT_BACKOFF)).toBe(250)
	})

	it('is never negative and never above its limit after any number of failures', () => {
		const backoff: fc.Arbitrary<Backoff> = fc.record({
			initialMs: fc.integer({ min: 0, max: 10_000 }),
			factor: fc.double({ min: 1, max: 10, noNaN: true }),
			maxMs: fc.integer({ min: 0, max: 100_000 }),
		})
		const share = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
		fc.assert(
			fc.property(fc.integer({ min: 1, max: 5000 }), share, backoff, (failures, drawn, options) => {
				const delay = drawBackoffDelay(failures, () => drawn, options)
				expect(delay).toBeGreaterThanOrEqual(0)
				expect(delay).toBeLessThanOrEqual(options.maxMs)
			}),
			{ seed: 1 },
		)
	})
})
