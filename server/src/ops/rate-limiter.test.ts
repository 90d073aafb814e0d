import { describe, expect, it } from 'vitest'
import { RateLimiter } from './rate-limiter.js'

const RATE = 20
const BURST = 60

function takeMany(limiter: RateLimiter, key: string, count: number): number {
	return Array.from({ length: count }, () => limiter.take(key, RATE, BURST)).filter(Boolean).length
}

describe('a rate limiter', () => {
	it('gives a burst, then tokens at its rate, to each key', () => {
		let now = 5000
		const limiter = new RateLimiter(() => now)
		expect(takeMany(limiter, 'a', 100)).toBe(BURST)
		expect(limiter.has('a', RATE, BURST)).toBe(false)
		expect(takeMany(limiter, 'b', 1)).toBe(1)
		now += 1000
		expect(takeMany(limiter, 'a', 100)).toBe(RATE)
		now += 3_600_000
		expect(takeMany(limiter, 'a', 100)).toBe(BURST)
	})

	it('has at most 65,536 buckets, frees no punished key for new ones, and lets these share one bucket', () => {
		let now = 0
		const limiter = new RateLimiter(() => now)
		takeMany(limiter, 'punished', 100)
		for (let index = 0; index < 70_000; index++) limiter.take(`10.${index}`, RATE, BURST)
		expect(limiter.size).toBeLessThanOrEqual(65_537)
		expect(limiter.take('punished', RATE, BURST)).toBe(false)
		expect(takeMany(limiter, 'new', 1)).toBe(0)
		now += 10_000
		expect(takeMany(limiter, 'new', 100)).toBe(BURST)
		expect(limiter.size).toBeLessThanOrEqual(65_537)
	})
})
