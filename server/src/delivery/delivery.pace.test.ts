import { expect, test } from 'vitest'
import { ManualClock } from '#test/support/manual-clock.js'
import type { Schedule } from '../ops/clock.js'
import { Pace } from './delivery.js'

function start(perSecond: number) {
	const clock = new ManualClock()
	const schedule: Schedule = (callback, delayMs) => ({ [Symbol.dispose]: clock.after(delayMs, callback) })
	return { clock, pace: new Pace(perSecond, schedule) }
}

test.each([
	[1, 1],
	[9, 1],
	[100, 10],
	[12_345, 1234],
])('of %i events a second %i are one portion', (perSecond, portion) => {
	expect(start(perSecond).pace.portion).toBe(portion)
})

test('after so many events it rests as long as they may take', async () => {
	const { clock, pace } = start(50)
	let rested = false
	const resting = pace.after(5).then(() => {
		rested = true
	})
	clock.advance(99)
	await Promise.resolve()
	expect(rested).toBe(false)
	clock.advance(1)
	await resting
	await pace.after(0)
	expect(clock.pending).toBe(0)
})

test('a rest ends with its stream', async () => {
	const { clock, pace } = start(1)
	const resting = pace.after(1)
	pace[Symbol.dispose]()
	await resting
	expect(clock.pending).toBe(0)
})
