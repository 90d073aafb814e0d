import { once } from 'node:events'
import { formatCursor, type Position, parsePosition } from '@planstream/shared'
import fc from 'fast-check'
import { describe, expect, it, vi } from 'vitest'
import { PLAN, record, records, summary } from '#test/support/plans/log-records.js'
import { type LogStore, PAGE_BYTES, type PlanKey } from './event-log.js'
import { MemoryLog } from './memory.js'
import { TailLog, type TailOptions, Watchers } from './tail.js'

const OTHER: PlanKey = { tenant: 'default', plan_id: 'plan-2' }

function openTail(options?: TailOptions) {
	const store = new MemoryLog()
	return { store, read: vi.spyOn(store, 'read'), head: vi.spyOn(store, 'head'), log: new TailLog(store, options) }
}

describe('TailLog', () => {
	it('serves cached events without reading the store', async () => {
		const { log, read, head } = openTail()
		const { events } = await log.append(PLAN, records('a', 10))
		await log.append(PLAN, records('b', 10))
		for (const after of ['start', 'now', { seq: 4 }, parsePosition(events[4]?.cursor ?? '') ?? 'now'] as const)
			await log.read(PLAN, after, 7)
		expect(await log.head(PLAN)).toMatchObject({ head_seq: 20 })
		expect(read).not.toHaveBeenCalled()
		expect(head).not.toHaveBeenCalled()
	})

	it('keeps the newest events of a plan within both limits, and the cursor before them', async () => {
		const { log, read } = openTail({ planEvents: 16, planBytes: 8000 })
		const { events } = await log.append(PLAN, records('a', 100))
		expect(log.metrics.events).toBeLessThanOrEqual(16)
		const first = 100 - log.metrics.events
		const page = await log.read(PLAN, parsePosition(events[first - 1]?.cursor ?? '') ?? 'start', 100)
		expect(page.events).toEqual(events.slice(first))
		expect(read).not.toHaveBeenCalled()
		await log.append(PLAN, [record('big', { content: 'x'.repeat(7000) })])
		expect(log.metrics.events).toBe(1)
		expect((await log.read(PLAN, { seq: first }, 100)).events).toHaveLength(101 - first)
		expect(read).toHaveBeenCalledTimes(1)
	})

	it('caches events it reads from the store for later readers', async () => {
		const { store, log, read } = openTail()
		await store.append(PLAN, records('a', 10))
		const page = await log.read(PLAN, { seq: 3 }, 100)
		expect(await log.read(PLAN, { seq: 3 }, 100)).toEqual(page)
		expect((await log.read(PLAN, page.from_cursor ?? 'now', 2)).events).toEqual(page.events.slice(0, 2))
		expect(read).toHaveBeenCalledTimes(1)
		await log.append(PLAN, [record('b')])
		expect((await log.read(PLAN, { seq: 9 }, 100)).events).toHaveLength(2)
		await log.read(PLAN, { seq: 1 }, 100)
		expect(read).toHaveBeenCalledTimes(2)
	})

	it('reads a page once for all who ask for it, until the plan changes', async () => {
		const { store, log, read } = openTail({ planEvents: 0 })
		await store.append(PLAN, records('a', 10))
		const pages = await Promise.all(Array.from({ length: 50 }, () => log.read(PLAN, 'start', 5)))
		expect(read).toHaveBeenCalledTimes(1)
		expect(new Set(pages).size).toBe(1)
		const before = log.read(PLAN, { seq: 8 }, 5)
		await log.append(PLAN, [record('b')])
		const after = log.read(PLAN, { seq: 8 }, 5)
		expect((await after).events).toHaveLength(3)
		await before
		expect(log.metrics).toMatchObject({ events: 0 })
	})

	it('reads pages of at most the limit from the store at one time, for tenants by turns', async () => {
		const { store, log, read } = openTail({ limits: () => ({ tail_bytes: 0, working_bytes: 2 * PAGE_BYTES }) })
		const answers: (() => void)[] = []
		const order: string[] = []
		read.mockImplementation(async ({ tenant, plan_id }) => {
			order.push(`${tenant} ${plan_id}`)
			await new Promise<void>((resolve) => answers.push(resolve))
			return MemoryLog.prototype.read.call(store, { tenant, plan_id }, 'start', 1)
		})
		const ask = (tenant: string, plan_id: string) => log.read({ tenant, plan_id }, 'start', 100)
		const asked = [ask('a', '1'), ask('a', '2'), ask('a', '3'), ask('a', '4'), ask('b', '1')]
		await expect.poll(() => order, { interval: 1 }).toEqual(['a 1', 'a 2'])
		for (let answered = 0; answered < 5; answered++) {
			await expect.poll(() => answers.length, { interval: 1 }).toBeGreaterThan(answered)
			answers[answered]?.()
		}
		await Promise.all(asked)
		expect(order).toEqual(['a 1', 'a 2', 'a 3', 'b 1', 'a 4'])
	})

	it('evicts the least recently used plans when the total is too large', async () => {
		const { log, read } = openTail({ limits: () => ({ tail_bytes: 18_000, working_bytes: 1 }) })
		await log.append(PLAN, records('a', 20))
		await log.append(OTHER, [record('a')])
		await log.read(PLAN, 'start', 1)
		await log.append({ ...PLAN, plan_id: 'plan-3' }, records('c', 22))
		expect(log.metrics.bytes).toBeLessThanOrEqual(18_000)
		await log.read(PLAN, 'start', 1)
		expect(read).not.toHaveBeenCalled()
		await log.read(OTHER, 'start', 1)
		expect(read).toHaveBeenCalledTimes(1)
	})

	it('counts exactly what it holds, down to zero', async () => {
		const { log } = openTail({ planEvents: 4 })
		for (const plan of [PLAN, OTHER]) {
			await log.append(plan, records('a', 9), { summary: summary(plan.plan_id) })
			await log.read(plan, 'start', 9)
			await log.trim(plan, 5, { base: 'x'.repeat(50), reason: 'trimmed' })
			await log.head(plan)
			await log.append(plan, [record('b')])
			await log.remove(plan)
		}
		expect(log.metrics).toEqual({ plans: 0, events: 0, bytes: 0, watchers: 0 })
	})

	it('assumes no history before an append to a log it has not read', async () => {
		const { store, log } = openTail()
		await store.append(PLAN, records('a', 3))
		await log.append(PLAN, [record('b')])
		for (const seq of [3, 2, 0, 4]) expect(await log.read(PLAN, { seq }, 9)).toEqual(await store.read(PLAN, { seq }, 9))
	})

	it('ignores an append that is acknowledged after the plan was removed', async () => {
		const { store, log } = openTail()
		let answer: () => void = () => {}
		const answered = new Promise<void>((resolve) => {
			answer = resolve
		})
		const append = store.append.bind(store)
		vi.spyOn(store, 'append').mockImplementation(async (...args) => {
			const appended = await append(...args)
			await answered
			return appended
		})
		const late = log.append(PLAN, [record('a')])
		await log.remove(PLAN)
		answer()
		expect((await late).results[0]?.seq).toBe(1)
		expect(await log.head(PLAN)).toBeNull()
	})

	it('notifies no watcher of an append that changed nothing', async () => {
		const { log } = openTail()
		await log.append(PLAN, [record('a')])
		const ring = vi.fn()
		using _bell = log.watch(PLAN, ring)
		await log.append(PLAN, [record('a')])
		await expect(log.append(PLAN, [record('b')], { expected_seq: 7 })).rejects.toThrow('expected')
		expect(ring).not.toHaveBeenCalled()
	})

	it('reports the log as full from the first rejected append until there is room again', async () => {
		const store = new MemoryLog({ maxCharacters: 100_000 })
		const log = new TailLog(store)
		await log.append(PLAN, [record('a', { content: 'x'.repeat(50_000) })])
		await log.assertWritable()
		await expect(log.append(PLAN, [record('b', { content: 'x'.repeat(60_000) })])).rejects.toMatchObject({ code: 'storage_full' })
		await expect(log.assertWritable()).rejects.toMatchObject({ code: 'storage_full' })
		await log.append(OTHER, [record('small')])
		await log.assertWritable()
		await expect(log.append(PLAN, [record('b', { content: 'x'.repeat(60_000) })])).rejects.toMatchObject({ code: 'storage_full' })
		await log.remove(PLAN)
		await log.assertWritable()
	})

	it('reads the store again when a rejection shows that another process has appended', async () => {
		const { store, log } = openTail()
		await log.append(PLAN, [record('a')])
		await store.append(PLAN, [record('b')])
		await expect(log.append(PLAN, [record('c')], { expected_seq: 1 })).rejects.toMatchObject({ code: 'conflict' })
		expect(await log.head(PLAN)).toMatchObject({ head_seq: 2 })
	})
})

/** Wraps a store so that each call starts and resolves when the scheduler chooses, in harsher orders than real stores. */
function scheduledStore(store: LogStore, scheduler: fc.Scheduler): LogStore {
	const late = async <Result>(call: () => Promise<Result>): Promise<Result> => {
		await scheduler.schedule(Promise.resolve())
		const result = await call()
		await scheduler.schedule(Promise.resolve())
		return result
	}
	return {
		dropped: null,
		append: (...args) => late(() => store.append(...args)),
		read: (...args) => late(() => store.read(...args)),
		head: (...args) => late(() => store.head(...args)),
		trim: (...args) => late(() => store.trim(...args)),
		remove: (...args) => late(() => store.remove(...args)),
		list: (...args) => store.list(...args),
		unfinished: () => store.unfinished(),
		retirable: (...args) => store.retirable(...args),
		artifactOwners: (...args) => store.artifactOwners(...args),
		releasedArtifacts: (...args) => store.releasedArtifacts(...args),
		forgetReleased: (...args) => store.forgetReleased(...args),
		records: (...args) => store.records(...args),
		begin: (...args) => store.begin(...args),
		rename: (...args) => store.rename(...args),
		probe: () => store.probe(),
		assertPresent: () => store.assertPresent(),
		close: () => store.close(),
	}
}

/** Follows a plan like a subscription until the head of a finished plan, and checks every page. */
async function follow(log: TailLog, truth: Map<string, string>, start: Position): Promise<void> {
	let after = start
	for (;;) {
		let rang: () => void = () => {}
		const rung = new Promise<void>((resolve) => {
			rang = resolve
		})
		using _bell = log.watch(PLAN, () => rang())
		const page = await log.read(PLAN, after, 3)
		if (page.verdict.reset === null && typeof after === 'object') expect(page.from_seq).toBe(after.seq + 1)
		for (const [index, { seq, cursor, text }] of page.events.entries()) {
			expect(seq).toBe(page.from_seq + index)
			expect(truth.get(cursor) ?? text).toBe(text)
			expect(cursor.startsWith(`${page.head?.epoch}.${seq}.`)).toBe(true)
		}
		if (page.from_cursor) after = parsePosition(page.events.at(-1)?.cursor ?? formatCursor(page.from_cursor)) ?? 'start'
		if (page.head?.summary?.finished && typeof after === 'object' && after.seq === page.head.head_seq) return
		if (page.events.length === 0) await rung
	}
}

const step = fc.oneof(
	{ weight: 6, arbitrary: fc.record({ kind: fc.constant('append' as const), size: fc.integer({ min: 1, max: 4 }) }) },
	{ weight: 2, arbitrary: fc.record({ kind: fc.constant('read' as const), seq: fc.nat(12) }) },
	{ weight: 1, arbitrary: fc.record({ kind: fc.constant('head' as const) }) },
	{ weight: 1, arbitrary: fc.record({ kind: fc.constant('trim' as const) }) },
	{ weight: 1, arbitrary: fc.record({ kind: fc.constant('remove' as const) }) },
	{ weight: 2, arbitrary: fc.record({ kind: fc.constant('crowd' as const), size: fc.integer({ min: 1, max: 9 }) }) },
)

describe('TailLog over a slow store', () => {
	it('gives every reader an unbroken history up to the head of the store in any interleaving', async () => {
		const limits = fc.record({ planEvents: fc.constantFrom(0, 2, 5, 1024), tail_bytes: fc.constantFrom(0, 2000, 5000, 1e6) })
		const property = fc.asyncProperty(
			fc.scheduler(),
			fc.array(step, { minLength: 1, maxLength: 14 }),
			limits,
			async (scheduler, steps, { planEvents, tail_bytes }) => {
				const store = new MemoryLog()
				const log = new TailLog(scheduledStore(store, scheduler), {
					planEvents,
					limits: () => ({ tail_bytes, working_bytes: 1 }),
				})
				const truth = new Map<string, string>()
				const readers = (['start', { seq: 2 }] as const).map((after) => follow(log, truth, after))
				const calls = steps.map((one, index) => run(log, truth, one, index))
				await scheduler.waitFor(Promise.all(calls))
				const end = log.append(PLAN, [record('the-end')], { summary: summary(PLAN.plan_id, { finished: true }) })
				await scheduler.waitFor(Promise.all([end, ...readers]))

				for (const after of ['start', 'now', { seq: 1 }, { seq: 5 }] as const) {
					expect(await scheduler.waitFor(log.read(PLAN, after, 100))).toEqual(await store.read(PLAN, after, 100))
				}
				expect(await scheduler.waitFor(log.head(PLAN))).toEqual(await store.head(PLAN))
				expect(log.metrics.watchers).toBe(0)
			},
		)
		await fc.assert(property, { numRuns: 150 })
	})
})

async function run(
	log: TailLog,
	truth: Map<string, string>,
	one: typeof step extends fc.Arbitrary<infer S> ? S : never,
	index: number,
) {
	const append = async (prefix: string, size: number): Promise<void> => {
		const { events } = await log.append(PLAN, records(prefix, size))
		for (const { cursor, text } of events) truth.set(cursor, text)
	}
	switch (one.kind) {
		case 'append':
			return append(`${index}`, one.size)
		case 'crowd':
			await log.append({ ...PLAN, plan_id: `crowd-${index}` }, records('c', one.size))
			return
		case 'read':
			await log.read(PLAN, { seq: one.seq }, 4)
			return
		case 'head':
			await log.head(PLAN)
			return
		case 'remove':
			return log.remove(PLAN)
		case 'trim': {
			const head = await log.head(PLAN)
			if (head) await log.trim(PLAN, head.head_seq, { base: '{}', reason: 'trimmed' }).catch(() => undefined)
			return
		}
		default:
			one satisfies never
	}
}

describe('Watchers', () => {
	it('notifies all watchers when one throws, and passes its error to the process', async () => {
		const watchers = new Watchers()
		const listeners = process.listeners('uncaughtException')
		process.removeAllListeners('uncaughtException')
		const uncaught = once(process, 'uncaughtException')
		const ring = vi.fn()
		using _first = watchers.add(PLAN, () => {
			throw new Error('deaf')
		})
		using _second = watchers.add(PLAN, ring)
		watchers.notify(PLAN, { summary: false })
		expect(ring).toHaveBeenCalledTimes(1)
		expect((await uncaught)[0]).toMatchObject({ message: 'deaf' })
		for (const listener of listeners) process.on('uncaughtException', listener)
	})

	it('allows a watcher to remove itself while it is notified', () => {
		const watchers = new Watchers()
		const heard: string[] = []
		const first = watchers.add(PLAN, () => {
			heard.push('first')
			first[Symbol.dispose]()
		})
		using _second = watchers.add(PLAN, () => heard.push('second'))
		watchers.notify(PLAN, { summary: false })
		watchers.notify(PLAN, { summary: false })
		expect(heard).toEqual(['first', 'second', 'second'])
		expect(watchers.size).toBe(1)
	})
})
