import { describe, expect, it } from 'vitest'
import { createSteadyClock, keepAliveSchedule, processSchedule } from './clock.js'

function start(wallMs: number) {
	const time = { wall: wallMs, elapsed: 0 }
	const setBacks: number[] = []
	const clock = createSteadyClock((behindMs) => setBacks.push(behindMs), { wall: () => time.wall, elapsed: () => time.elapsed })
	const pass = (ms: number) => {
		time.wall += ms
		time.elapsed += ms
	}
	return { time, setBacks, clock, pass }
}

describe('the steady clock', () => {
	it('shows the time of the wall clock, also after that was set forward', () => {
		const { time, setBacks, clock, pass } = start(1_000_000)
		pass(500)
		expect(clock()).toBe(1_000_500)
		time.wall += 3_600_000
		expect(clock()).toBe(4_600_500)
		expect(setBacks).toEqual([])
	})

	it('continues at the pace of elapsed time when the wall clock is set back, and reports this once', () => {
		const { time, setBacks, clock, pass } = start(10_000_000)
		expect(clock()).toBe(10_000_000)
		time.wall -= 3_600_000
		expect(clock()).toBe(10_000_000)
		pass(1500)
		expect(clock()).toBe(10_001_500)
		expect(setBacks).toEqual([3_600_000])
	})

	it('follows the wall clock again when that has caught up, and reports the next time it is set back', () => {
		const { time, setBacks, clock, pass } = start(10_000_000)
		time.wall -= 5000
		expect(clock()).toBe(10_000_000)
		time.wall += 5000
		pass(100)
		expect(clock()).toBe(10_000_100)
		time.wall -= 2000
		expect(clock()).toBe(10_000_100)
		expect(setBacks).toEqual([5000, 2000])
	})

	it('does not report a correction of less than a second', () => {
		const { time, setBacks, clock } = start(10_000_000)
		time.wall -= 900
		expect(clock()).toBe(10_000_000)
		expect(setBacks).toEqual([])
	})
})

describe.each([
	['that keeps the process alive', keepAliveSchedule],
	['that lets the process end', processSchedule],
])('a timer %s', (_, schedule) => {
	it.each([2 ** 31, 1e12, Number.POSITIVE_INFINITY])('of %d ms does not fire before one of 5 ms', async (delayMs) => {
		const fired: number[] = []
		using _endless = schedule(() => fired.push(delayMs), delayMs)
		await new Promise<void>((resolve) => {
			keepAliveSchedule(() => {
				fired.push(5)
				resolve()
			}, 5)
		})
		expect(fired).toEqual([5])
	})
})
