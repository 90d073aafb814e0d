import { expect, test } from 'vitest'
import { WriteCoalescer } from './plan-loop.js'

test.each([
	{ took: 0.4, rest: 0 },
	{ took: 0.5, rest: 0.5 },
	{ took: 7, rest: 7 },
	{ took: 90, rest: 25 },
])('after a round of $took ms there is a rest of $rest ms, counted from its end', ({ took, rest }) => {
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

test('a short round ends the rest of the one before', () => {
	let now = 0
	const loop = new WriteCoalescer(() => now)
	loop.run(() => {
		now += 5
	})
	loop.run(() => undefined)
	expect(loop.delayMs).toBe(0)
})
