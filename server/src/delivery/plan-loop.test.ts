import { describe, expect, it } from 'vitest'
import { WriteCoalescer } from './plan-loop.js'

describe('WriteCoalescer', () => {
	it.each([
		{ took: 0.4, rest: 0 },
		{ took: 0.5, rest: 0.5 },
		{ took: 7, rest: 7 },
		{ took: 90, rest: 25 },
	])('delays the next round by $rest ms from the end of a round that took $took ms', ({ took, rest }) => {
		let now = 100
		const loop = new WriteCoalescer(() => now)
		expect(loop.delayMs).toBe(0)
		loop.run(() => {
			now += took
		})
		expect(loop.delayMs).toBeCloseTo(rest)
		now += rest / 2
		expect(loop.delayMs).toBeCloseTo(rest / 2)
		now += rest
		expect(loop.delayMs).toBe(0)
	})

	it('clears the delay of the round before after a short round', () => {
		let now = 0
		const loop = new WriteCoalescer(() => now)
		loop.run(() => {
			now += 5
		})
		loop.run(() => undefined)
		expect(loop.delayMs).toBe(0)
	})
})
