import { type PlanEvent, PlanstreamError, parsePosition } from '@planstream/shared'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ManualClock } from '#test/support/manual-clock.js'
import { PLAN, passTurns, seqsUpTo, startTestFanout, type TestTarget } from '#test/support/streams/test-fanout.js'
import type { Schedule } from '../ops/clock.js'
import { RateLimit, type Subscriber } from './fanout.js'

interface Reader {
	readonly outlet: TestTarget
	readonly delivery: Subscriber
	readonly step_id: string | undefined
}

const action = fc.oneof(
	{
		weight: 4,
		arbitrary: fc.record({ do: fc.constant('publish' as const), count: fc.integer({ min: 1, max: 300 }), wait: fc.boolean() }),
	},
	{ weight: 3, arbitrary: fc.record({ do: fc.constant('attach' as const), at: fc.integer({ min: 0, max: 4 }) }) },
	{ weight: 2, arbitrary: fc.record({ do: fc.constant('room' as const), of: fc.nat(), has: fc.boolean() }) },
	{ weight: 1, arbitrary: fc.record({ do: fc.constant('leave' as const), of: fc.nat() }) },
	{ weight: 2, arbitrary: fc.record({ do: fc.constant('turn' as const), count: fc.integer({ min: 1, max: 3 }) }) },
)

describe('fan-out', () => {
	it('writes events appended in one turn once, with the same bytes for a whole group', async () => {
		await using plan = await startTestFanout()
		const readers = [plan.attach(), plan.attach(), plan.attach({}, 'other')]
		await passTurns()
		for (const { outlet } of readers) outlet.writes = 0
		await Promise.all([plan.publish(1), plan.publish(3), plan.publish(12)])
		await passTurns()
		for (const { outlet } of readers) expect([outlet.events, outlet.frames]).toEqual([seqsUpTo(16), ['ready', 'ready']])
		await Promise.all([plan.publish(1), plan.publish(3), plan.publish(12)])
		await passTurns()
		expect(readers.map(({ outlet }) => outlet.writes)).toEqual([2, 2, 2])
		expect(plan.deliveries.report()).toEqual({ streams: 3, waiting: 3, plans: 1, fell_behind: 0, slow: 0 })
		expect(readers.map(({ delivery }) => delivery.delivered)).toEqual([32, 32, 32])
	})

	it('writes events appended during a write delay once, and never delays for a few readers', async () => {
		const rests: number[] = []
		let wake: () => void = () => undefined
		const schedule: Schedule = (callback, delayMs) => {
			rests.push(delayMs)
			wake = callback
			return { [Symbol.dispose]: () => undefined }
		}
		await using plan = await startTestFanout({ writeMs: 0.2, schedule })
		const few = [plan.attach(), plan.attach()]
		await passTurns()
		for (let event = 0; event < 2; event++) {
			await plan.publish(1)
			await passTurns()
		}
		expect(few.map(({ outlet }) => outlet.events)).toEqual([seqsUpTo(2), seqsUpTo(2)])
		expect(rests).toEqual([])
		const many = [...few, ...Array.from({ length: 38 }, () => plan.attach())]
		await passTurns()
		await plan.publish(1)
		await passTurns()
		for (const { outlet } of many) outlet.writes = 0
		for (let event = 0; event < 3; event++) {
			await plan.publish(1)
			await passTurns()
		}
		expect(rests).toEqual([expect.closeTo(8)])
		expect(many.every(({ outlet }) => outlet.writes === 0)).toBe(true)
		wake()
		await passTurns()
		for (const { outlet } of many) expect([outlet.writes, outlet.events]).toEqual([1, seqsUpTo(6)])
	})

	it('lets go of the state of a reader without room, and reads it again when there is room', async () => {
		await using plan = await startTestFanout()
		await plan.publish(5)
		const { outlet, delivery } = plan.attach({ after: 'now', snapshot: true })
		outlet.setRoom(false)
		await passTurns()
		expect(delivery.reader.pendingReady).toMatchObject({ from_seq: 6, state: null })
		await plan.publish(2)
		outlet.setRoom(true)
		await passTurns()
		expect([outlet.got[0]?.state?.seq, outlet.events]).toEqual([5, [6, 7]])
	})

	it('tells readers whose newest events were filtered out where they are, within a second', async () => {
		const timers = new Map<object, { readonly run: () => void; readonly delayMs: number }>()
		const schedule: Schedule = (run, delayMs) => {
			const timer = { [Symbol.dispose]: () => void timers.delete(timer) }
			timers.set(timer, { run, delayMs })
			return timer
		}
		const elapse = async (plan: { readonly pass: (ms: number) => void }) => {
			for (const [timer, { run, delayMs }] of [...timers]) {
				timers.delete(timer)
				plan.pass(delayMs)
				run()
			}
			await passTurns()
		}
		await using plan = await startTestFanout({ schedule })
		const readers = [
			plan.attach({ step_id: 'shown' }),
			plan.attach({ step_id: 'shown' }),
			plan.attach({ step_id: 'shown' }, 'other'),
		]
		const all = plan.attach()
		await passTurns()
		await plan.publish(1, 'shown')
		await plan.publish(1, 'hidden')
		await passTurns()
		for (let round = 0; round < 3; round++) {
			const { cursor } = await plan.publish(2, 'hidden')
			await passTurns()
			expect([...timers.values()].map(({ delayMs }) => delayMs)).toEqual([1000])
			await elapse(plan)
			for (const { outlet } of readers) {
				expect(outlet.got.at(-1)).toMatchObject({ frame: 'position', cursor })
				expect(outlet.frames.filter((frame) => frame === 'position')).toHaveLength(round + 1)
			}
			expect(timers.size).toBe(0)
		}
		await plan.publish(1, 'hidden')
		await plan.publish(1, 'shown')
		await passTurns()
		await elapse(plan)
		for (const { outlet } of readers) expect(outlet.got.at(-1)).toMatchObject({ seq: 10 })
		expect(all.outlet.frames).toEqual(['ready', 'ready'])
		await plan.publish(1, 'hidden')
		await passTurns()
		expect(timers.size).toBe(1)
		for (const { delivery } of [...readers, all]) delivery[Symbol.dispose]()
		expect(timers.size).toBe(0)
	})

	it('sends the members of a group the same positions, because later bytes may refer to them', async () => {
		await using plan = await startTestFanout()
		const early = plan.attach({ step_id: 'shown' }, 'numbered')
		await passTurns()
		plan.pass(600)
		const late = plan.attach({ step_id: 'shown' }, 'numbered')
		await passTurns()
		plan.pass(600)
		await plan.publish(1, 'hidden')
		await passTurns()
		await plan.publish(1, 'shown')
		await passTurns()
		for (const { outlet } of [early, late]) {
			const numbers = outlet.got.flatMap(({ number }) => number ?? [])
			expect(numbers).toEqual(numbers.map((_, index) => index))
		}
	})

	it('writes all events appended in one turn when a page ends before the head', async () => {
		await using plan = await startTestFanout()
		const { outlet } = plan.attach()
		await passTurns()
		await plan.publish(1)
		await passTurns()
		const { read } = plan.log
		plan.log.read = (key, after) => read(key, after, 3)
		await plan.publish(10)
		await passTurns(20)
		expect(outlet.events).toEqual(seqsUpTo(11))
	})

	it('keeps only the position of a reader without room, and does not slow others', async () => {
		await using plan = await startTestFanout()
		const slow = plan.attach()
		const other = plan.attach()
		await passTurns()
		await plan.publish(1)
		await passTurns()
		slow.outlet.setRoom(false)
		for (let round = 0; round < 10; round++) {
			await plan.publish(100)
			await passTurns(1)
		}
		await passTurns()
		const taken = slow.outlet.events.length
		expect(taken).toBeLessThanOrEqual(101)
		expect(other.outlet.events).toEqual(seqsUpTo(1001))
		expect(plan.deliveries.report()).toMatchObject({ waiting: 1, fell_behind: 1 })
		slow.outlet.setRoom(true)
		await passTurns(20)
		expect(slow.outlet.events).toEqual(seqsUpTo(1001))
		expect(slow.delivery.delivered).toBe(1001)
		expect(plan.deliveries.report()).toMatchObject({ waiting: 2, fell_behind: 1 })
	})

	it('ends a stream with its reason after the last event, with or without room', async () => {
		await using plan = await startTestFanout()
		await plan.publish(50)
		const readers = [plan.attach(), plan.attach()]
		await passTurns()
		readers[1]?.outlet.setRoom(false)
		await plan.publish(400)
		await passTurns()
		for (const { outlet, delivery } of readers) {
			delivery.end(new PlanstreamError('slow_consumer', 'Too slow.'))
			const last = outlet.got.at(-1)
			expect(last).toMatchObject({ frame: 'end', reason: 'slow', resume: true, final_seq: 450 })
			expect(last?.cursor).toBe(outlet.got.at(-2)?.cursor)
			expect(outlet.isOver).toBe(true)
		}
		await plan.publish(1)
		readers[1]?.outlet.setRoom(true)
		await passTurns()
		expect(plan.deliveries.report()).toMatchObject({ streams: 0, waiting: 0, plans: 0, slow: 2 })
		expect(plan.hub.report().subscriptions).toBe(0)
	})

	it('ends the streams of a deleted plan, including those that waited for it', async () => {
		await using plan = await startTestFanout()
		const early = plan.attach({ follow: 'always' })
		await passTurns()
		await plan.publish(3)
		await passTurns()
		expect(early.outlet.frames).toEqual(['ready', 'ready'])
		const late = plan.attach({ after: 'now', follow: 'always' })
		await passTurns()
		await plan.hub.remove(PLAN)
		await passTurns()
		for (const { outlet } of [early, late]) expect(outlet.got.at(-1)).toMatchObject({ reason: 'deleted', resume: false })
		expect(plan.deliveries.report()).toMatchObject({ streams: 0, plans: 0 })
	})

	it('gives a reader that attaches between append and delivery exactly the events it asked for', async () => {
		await using plan = await startTestFanout()
		await plan.publish(5)
		const before = plan.attach()
		await passTurns()
		const { cursor } = await plan.publish(5)
		const now = plan.attach({ after: 'now' })
		const behind = plan.attach({ after: parsePosition(cursor) ?? 'start' })
		const whole = plan.attach()
		await passTurns()
		await plan.publish(2)
		await passTurns()
		const events = [before, now, behind, whole].map(({ outlet }) => outlet.events)
		expect(events).toEqual([seqsUpTo(12), seqsUpTo(12, 11), seqsUpTo(12, 11), seqsUpTo(12)])
		expect(plan.deliveries.report()).toMatchObject({ waiting: 4, plans: 1 })
	})

	it('sends a rate-limited reader one portion at a time, and everything at once to others', async () => {
		const clock = new ManualClock()
		await using plan = await startTestFanout({
			schedule: (callback, delayMs) => ({ [Symbol.dispose]: clock.after(delayMs, callback) }),
		})
		await plan.publish(15)
		const paced = plan.attach({ max_events_per_s: 100 })
		const other = plan.attach()
		for (const expected of [10, 15, 15]) {
			await passTurns()
			expect(paced.outlet.events).toEqual(seqsUpTo(expected))
			clock.advance(100)
		}
		await plan.publish(25)
		for (const expected of [25, 35, 40, 40]) {
			await passTurns()
			expect(paced.outlet.events).toEqual(seqsUpTo(expected))
			expect(other.outlet.events).toEqual(seqsUpTo(40))
			clock.advance(100)
		}
		expect(clock.pending).toBe(0)
	})

	it('passes a store failure to each reader', async () => {
		await using plan = await startTestFanout()
		const readers = [plan.attach(), plan.attach()]
		await passTurns()
		const failure = new PlanstreamError('storage_unavailable', 'Try again.')
		const { read } = plan.log
		plan.log.read = () => Promise.reject(failure)
		for (const { delivery } of readers) delivery.reader.read = () => Promise.reject(failure)
		await plan.publish(1)
		await passTurns()
		plan.log.read = read
		for (const { outlet } of readers) expect([outlet.failure, outlet.isOver]).toEqual([failure, true])
		expect(plan.deliveries.report()).toMatchObject({ streams: 0, plans: 0 })
	})

	it('gives every reader each event after its cursor once, in order, however it attaches, stalls or leaves', async () => {
		await fc.assert(
			fc.asyncProperty(
				fc.array(action, { minLength: 5, maxLength: 30 }),
				fc.infiniteStream(fc.constantFrom('a', 'b')),
				fc.constantFrom(0, 0.3, 1),
				async (actions, steps, writeMs) => {
					await using plan = await startTestFanout({ writeMs })
					const readers: Reader[] = []
					const cursors: string[] = ['start']
					for (const each of actions) {
						if (each.do === 'publish') {
							const published = plan.publish(each.count, steps.next().value).then(({ cursor }) => cursors.push(cursor))
							if (each.wait) await published
						} else if (each.do === 'turn') await passTurns(each.count)
						else if (each.do === 'attach') {
							const after = each.at === 4 ? 'now' : (parsePosition(cursors.at(-each.at) ?? 'start') ?? 'start')
							const step_id = readers.length % 3 === 2 ? 'a' : undefined
							readers.push({ ...plan.attach({ after, ...(step_id && { step_id }) }, `wire ${readers.length % 2}`), step_id })
						} else if (each.do === 'room') readers[each.of % readers.length]?.outlet.setRoom(each.has)
						else readers.splice(each.of % Math.max(1, readers.length), 1)[0]?.delivery[Symbol.dispose]()
					}
					await passTurns()
					await plan.finish()
					for (const { outlet } of readers) outlet.setRoom(true)
					await expect.poll(() => readers.every(({ outlet }) => outlet.isOver), { interval: 1 }).toBe(true)
					const { events } = await plan.log.read(PLAN, 'start', 100_000)
					const stepOf = ({ text }: { readonly text: string }) => (JSON.parse(text) as PlanEvent).step_id
					for (const { outlet, delivery, step_id } of readers) {
						const from = outlet.got.findLast(({ frame }) => frame === 'ready')?.from_seq ?? 0
						const due = events.filter((event) => event.seq >= from && (step_id === undefined || stepOf(event) === step_id))
						expect(outlet.events).toEqual(due.map(({ seq }) => seq))
						expect(delivery.delivered).toBe(due.length)
						expect(outlet.got.at(-1)).toMatchObject({ frame: 'end', reason: 'completed', resume: false })
					}
					expect(plan.deliveries.report()).toMatchObject({ streams: 0, waiting: 0, plans: 0 })
					expect(plan.hub.report().subscriptions).toBe(0)
				},
			),
			{ numRuns: 40 },
		)
	})
})

function start(perSecond: number) {
	const clock = new ManualClock()
	const schedule: Schedule = (callback, delayMs) => ({ [Symbol.dispose]: clock.after(delayMs, callback) })
	return { clock, pace: new RateLimit(perSecond, schedule) }
}

describe('RateLimit', () => {
	it.each([
		[1, 1],
		[9, 1],
		[100, 10],
		[12_345, 1234],
	])('allows %i events per second in portions of %i', (perSecond, portion) => {
		expect(start(perSecond).pace.portion).toBe(portion)
	})

	it('waits after a portion for as long as its events may take', async () => {
		const { clock, pace } = start(50)
		let rested = false
		const resting = pace.waitAfter(5).then(() => {
			rested = true
		})
		clock.advance(99)
		await Promise.resolve()
		expect(rested).toBe(false)
		clock.advance(1)
		await resting
		await pace.waitAfter(0)
		expect(clock.pending).toBe(0)
	})

	it('stops waiting when its stream ends', async () => {
		const { clock, pace } = start(1)
		const resting = pace.waitAfter(1)
		pace[Symbol.dispose]()
		await resting
		expect(clock.pending).toBe(0)
	})
})
