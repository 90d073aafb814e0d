import { EventEmitter } from 'node:events'
import { setImmediate } from 'node:timers/promises'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CallLimiter, ReadGate, type SendBuffer, WriteQueue } from './flow.js'

const LIMIT = 100

/** A socket that drains when the test says so. */
class FakeSink extends EventEmitter implements SendBuffer {
	readonly writable = this
	readonly limit = LIMIT
	queued = 0

	get writableNeedDrain(): boolean {
		return this.queued >= LIMIT
	}

	drain(): void {
		this.queued = 0
		this.emit('drain')
	}
}

function start() {
	const sink = new FakeSink()
	return { sink, turns: new WriteQueue(sink) }
}

const NEVER = new AbortController().signal

describe('WriteQueue', () => {
	it('gives writers one turn each in the order they asked', async () => {
		const { turns } = start()
		const order: string[] = []
		const write = async (name: string) => {
			for (let item = 0; item < 3; item++) {
				using _turn = await turns.take(NEVER)
				order.push(`${name} begins`)
				await setImmediate()
				order.push(`${name} ends`)
			}
		}
		await Promise.all(['a', 'b', 'c'].map(write))
		const rounds = ['a', 'b', 'c', 'a', 'b', 'c', 'a', 'b', 'c']
		expect(order).toEqual(rounds.flatMap((name) => [`${name} begins`, `${name} ends`]))
	})

	it('buffers at most the limit plus one item, and writes every item whenever the socket drains', async () => {
		const items = fc.array(fc.array(fc.integer({ min: 1, max: 250 }), { maxLength: 8 }), { minLength: 1, maxLength: 6 })
		await fc.assert(
			fc.asyncProperty(items, async (writers) => {
				const { sink, turns } = start()
				let left = writers.length
				let written = 0
				const run = async (sizes: readonly number[]) => {
					for (const size of sizes) {
						using turn = await turns.take(NEVER)
						expect(turn).not.toBeNull()
						await setImmediate()
						expect(sink.queued).toBeLessThan(LIMIT)
						sink.queued += size
						written++
					}
					left--
				}
				const all = Promise.all(writers.map(run))
				while (left > 0) {
					await setImmediate()
					if (sink.writableNeedDrain) sink.drain()
				}
				await all
				expect(written).toBe(writers.flat().length)
				expect(sink.eventNames()).toEqual([])
			}),
			{ numRuns: 50 },
		)
	})

	it('gives no turn to an aborted writer while the buffer is full, and still admits one when there is room', async () => {
		const { sink, turns } = start()
		const ended = new AbortController()
		sink.queued = LIMIT
		const waiting = [turns.take(ended.signal), turns.take(ended.signal), turns.take(NEVER)]
		await setImmediate()
		ended.abort()
		expect(await waiting[0]).toBeNull()
		expect(await waiting[1]).toBeNull()
		expect(await turns.take(ended.signal)).toBeNull()
		sink.drain()
		const third = await waiting[2]
		const late = turns.take(ended.signal)
		third?.[Symbol.dispose]()
		third?.[Symbol.dispose]()
		const turn = await late
		expect(turn).not.toBeNull()
		turn?.[Symbol.dispose]()
		expect(sink.eventNames()).toEqual([])
	})
})

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

describe('CallLimiter', () => {
	it('runs a limited number of calls, the rest in order, and pauses reading while one waits', async () => {
		const source = new FakeSource()
		const calls = new CallLimiter(2, new ReadGate(source))
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

	it('starts the next call when one fails', async () => {
		const calls = new CallLimiter(1, new ReadGate(new FakeSource()))
		const failing = calls.run(() => Promise.reject(new Error('no')))
		const next = calls.run(() => Promise.resolve('yes'))
		await expect(failing).rejects.toThrow('no')
		expect(await next).toBe('yes')
	})

	it('resumes reading once no one holds it', () => {
		const source = new FakeSource()
		const reading = new ReadGate(source)
		const [first, second] = [reading.hold(), reading.hold()]
		first[Symbol.dispose]()
		first[Symbol.dispose]()
		expect(source).toEqual({ paused: true, changes: 1 })
		second[Symbol.dispose]()
		expect(source).toEqual({ paused: false, changes: 2 })
	})
})
