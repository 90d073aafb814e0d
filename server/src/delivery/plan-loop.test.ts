import { expect, test } from 'vitest'
import { Rest } from './plan-loop.js'

test.each([
	{ took: 0.4, rest: 0 },
	{ took: 0.5, rest: 0.5 },
	{ took: 7, rest: 7 },
	{ took: 90, rest: 25 },
])('after a round of $took ms there is a rest of $rest ms, counted from its end', ({ took, rest }) => {
	let now = 100
	const loop = new Rest(() => now)
	expect(loop.left).toBe(0)
	loop.after(() => {
		now += took
	})
	expect(loop.left).toBeCloseTo(rest)
	now += rest / 2
	expect(loop.left).toBeCloseTo(rest / 2)
	now += rest
	expect(loop.left).toBe(0)
})

test('a short round ends the rest of the one before', () => {
	let now = 0
	const loop = new Rest(() => now)
	loop.after(() => {
		now += 5
	})
	loop.after(() => undefined)
	expect(loop.left).toBe(0)
})
