import { setImmediate } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { Calls, Reading } from './flow.js'

class FakeSource {
	paused = false
	changes = 0

	pause(): void {
		this.paused = true
		this.changes++
	}

	resume(): void {
		this.paused = false
		this.changes++
	}
}

test('so many calls are worked on at once, the rest in turn, and nothing is read while one waits', async () => {
	const source = new FakeSource()
	const calls = new Calls(2, new Reading(source))
	const finish: (() => void)[] = []
	const call = (name: number) => calls.run(() => new Promise<number>((resolve) => finish.push(() => resolve(name))))
	const answers = [1, 2, 3, 4].map(call)
	expect([finish.length, source.paused]).toEqual([2, true])
	finish[1]?.()
	expect(await answers[1]).toBe(2)
	await setImmediate()
	expect([finish.length, source.paused]).toEqual([3, true])
	finish[0]?.()
	await setImmediate()
	expect([finish.length, source.paused]).toEqual([4, false])
	for (const end of finish) end()
	expect(await Promise.all(answers)).toEqual([1, 2, 3, 4])
})

test('a call that fails makes room for the next one', async () => {
	const calls = new Calls(1, new Reading(new FakeSource()))
	const failing = calls.run(() => Promise.reject(new Error('no')))
	const next = calls.run(() => Promise.resolve('yes'))
	await expect(failing).rejects.toThrow('no')
	expect(await next).toBe('yes')
})

test('reading goes on when nobody holds it up any more', () => {
	const source = new FakeSource()
	const reading = new Reading(source)
	const [first, second] = [reading.hold(), reading.hold()]
	first[Symbol.dispose]()
	first[Symbol.dispose]()
	expect(source).toEqual({ paused: true, changes: 1 })
	second[Symbol.dispose]()
	expect(source).toEqual({ paused: false, changes: 2 })
})
