import { EventEmitter } from 'node:events'
import { setImmediate } from 'node:timers/promises'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { SendBuffer } from './flow.js'
import { Turns } from './flow.js'

const LIMIT = 100

/** A socket that takes what waits when the test says so. */
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
	return { sink, turns: new Turns(sink) }
}

const NEVER = new AbortController().signal

test('writers take turns in the order they asked, one at a time', async () => {
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

test('what waits is never more than the limit and one item, and every item is written, whoever drains when', async () => {
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

test('who is told to end while there is no room gets none; who comes when there is room is still let through', async () => {
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
