import type { EventInput } from '@planstream/shared'
import { parsePosition } from '@planstream/shared'
import { eventInput } from '@planstream/shared/schemas'
import fc from 'fast-check'
import { describe, expect, it, vi } from 'vitest'
import type { EventLog } from '../log/event-log.js'
import { openLog } from '../log/open.js'
import { decodeSnapshot, FoldCache } from './fold-cache.js'
import { Hub } from './hub.js'
import { LOCAL_PRINCIPAL } from './principal.js'
import type { StreamItem } from './stream.js'
import type { SubscribeRequest } from './subscribe.js'

const PLAN = { tenant: 'default', plan_id: 'p' }

const hubOn = (log: EventLog, clock: () => number = Date.now) => new Hub({ log, clock, onProblem: () => undefined })
async function openHub() {
	const log = await openLog({ kind: 'memory' })
	return { log, hub: hubOn(log) }
}

function publish(hub: Hub, ...events: EventInput[]) {
	return hub.publish(LOCAL_PRINCIPAL, { plan_id: 'p', events: events.map((event) => eventInput.parse(event)), sent: events })
}

const error = (message: string): EventInput => ({ event_type: 'error', data: { code: 'x', message } })
const stepDone = (step_id: string, characters: number): EventInput => ({
	event_type: 'step_completed',
	step_id,
	data: { data: { text: step_id.repeat(characters) } },
})
const done = (result: unknown = null): EventInput => ({ event_type: 'plan_completed', data: { result } as never })

function subscribe(hub: Hub, request: Partial<SubscribeRequest> = {}) {
	const signal = AbortSignal.timeout(10_000)
	return hub.subscribe(LOCAL_PRINCIPAL, 'p', { after: 'start', snapshot: false, follow: 'until_done', signal, ...request })
}

async function take(items: AsyncIterable<StreamItem>): Promise<StreamItem[]> {
	const taken: StreamItem[] = []
	for await (const item of items) taken.push(item)
	return taken
}
const seqs = (items: readonly StreamItem[]) => items.flatMap((item) => (item.kind === 'event' ? [item.stored.seq] : []))
const frames = (items: readonly StreamItem[]) => items.flatMap((item) => (item.kind === 'frame' ? [item.frame] : []))

const anyEvent = fc.oneof(
	fc.constant(error('e')),
	fc.tuple(fc.constantFrom('a', 'b'), fc.constantFrom(5, 5000)).map(([step, size]) => stepDone(step, size)),
	fc.constantFrom('a', 'b').map((step_id): EventInput => ({ event_type: 'step_started', step_id, data: { attempt: 1 } })),
	fc.constantFrom('a', 'b').map((step_id): EventInput => ({ event_type: 'step_progress', step_id, data: { progress: 0.5 } })),
)

describe('trim', () => {
	it('preserves the state, the results it names and all later events, wherever and however often it trims', async () => {
		const batches = fc.array(fc.array(anyEvent, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 8 })
		await fc.assert(
			fc.asyncProperty(batches, fc.array(fc.nat(40), { minLength: 1, maxLength: 3 }), async (sent, cuts) => {
				const { log, hub } = await openHub()
				for (const batch of sent) await publish(hub, ...batch)
				const before = await hub.fold(PLAN)
				const head = before?.state.seq ?? 0
				const { events } = await log.read(PLAN, 'start', 100)
				const states = await Promise.all(events.map(({ seq }) => new FoldCache(log).foldAt(PLAN, seq)))
				const named = (before?.state.steps ?? []).flatMap(({ result_seq }) => result_seq ?? [])
				const results = await Promise.all(named.map((seq) => hub.resultAt(PLAN, seq)))
				let oldest = 1
				for (const cut of cuts) {
					const before_seq = (cut % (head + 1)) + 1
					expect(await hubOn(log).trim(PLAN, before_seq)).toBe(Math.max(before_seq - oldest, 0))
					oldest = Math.max(oldest, before_seq)
				}
				for (const reader of [hub, hubOn(log)]) expect(await reader.fold(PLAN)).toEqual(before)
				for (const seq of named.keys()) expect(await hub.resultAt(PLAN, named[seq] ?? 0)).toEqual(results[seq])
				for (let seq = Math.max(oldest - 1, 1); seq <= head; seq++) {
					expect(await new FoldCache(log).foldAt(PLAN, seq)).toEqual(states[seq - 1])
				}
				expect((await log.read(PLAN, 'start', 100)).events).toEqual(events.slice(oldest - 1))
			}),
			{ numRuns: 60 },
		)
	})

	it('keeps the cursor of the last removed event, and results that only removed events held', async () => {
		const { log, hub } = await openHub()
		await publish(hub, stepDone('a', 5000), stepDone('b', 5000), error('x'))
		const { events } = await log.read(PLAN, 'start', 9)
		await hub.trim(PLAN, 3)
		const { base } = await log.read(PLAN, 'start', 9)
		const { fold, results } = decodeSnapshot(base ?? '', PLAN)
		expect(fold.state).toMatchObject({ seq: 2, cursor: events[1]?.cursor, steps: [{ result_seq: 1 }, { result_seq: 2 }] })
		expect(results).toEqual({ 1: { text: 'a'.repeat(5000) }, 2: { text: 'b'.repeat(5000) } })
		await publish(hub, stepDone('b', 6000), done({ text: 'p'.repeat(5000) }))
		await hub.trim(PLAN, 6, 'cleared')
		expect(await hub.resultAt(PLAN, 1)).toEqual({ text: 'a'.repeat(5000) })
		expect(await hub.resultAt(PLAN, 4)).toEqual({ text: 'b'.repeat(6000) })
		expect(await hub.resultAt(PLAN, 5)).toEqual({ text: 'p'.repeat(5000) })
		expect(await hub.resultAt(PLAN, 3)).toBeNull()
	})

	it('tells readers where to continue, and gives slow ones the state when they must skip', async () => {
		const { log, hub } = await openHub()
		for (let batch = 0; batch < 5; batch++) await publish(hub, ...Array.from({ length: 100 }, (_, at) => error(`${batch}.${at}`)))
		const atHead = take(subscribe(hub, { after: 'now', follow: 'until_done' }))
		const slow = subscribe(hub)
		const seen: StreamItem[] = []
		for await (const item of slow) {
			seen.push(item)
			if (seen.length !== 10) continue
			expect(await hub.trim(PLAN, 401)).toBe(400)
			await publish(hub, done())
		}
		const [ready, reset] = frames(seen)
		expect(ready).toMatchObject({ frame: 'ready', reset: null, from_seq: 1 })
		expect(reset).toMatchObject({
			frame: 'ready',
			recovered: false,
			reset: { reason: 'trimmed' },
			from_seq: 401,
			oldest_seq: 401,
		})
		expect(reset).toMatchObject({ state: { seq: 400, cursor: reset?.cursor } })
		const numbers = seqs(seen)
		const gap = numbers.findIndex((seq, index) => seq !== index + 1)
		expect(numbers.slice(gap)).toEqual(Array.from({ length: 101 }, (_, index) => 401 + index))
		expect(frames(seen).at(-1)).toMatchObject({ frame: 'end', reason: 'completed' })
		expect(frames(await atHead).map(({ frame }) => frame)).toEqual(['ready', 'end'])
		expect(seqs(await atHead)).toEqual([501])
		expect((await log.read(PLAN, { seq: 400 }, 1)).verdict.reset).toBeNull()
	})

	it('answers old cursors with "trimmed" or "cleared", and continues number, epoch and chain', async () => {
		const { log, hub } = await openHub()
		const { cursor } = await publish(hub, error('a'))
		await publish(hub, error('b'), error('c'))
		const { epoch } = await publish(hub, done())
		const resume = async () => frames(await take(subscribe(hub, { after: parsePosition(cursor) ?? 'now' })))[0]
		await hub.trim(PLAN, 3)
		expect(await resume()).toMatchObject({ reset: { reason: 'trimmed' }, from_seq: 3, state: { seq: 2 } })
		await hub.trim(PLAN, 5, 'cleared')
		expect(await resume()).toMatchObject({ epoch, reset: { reason: 'cleared' }, from_seq: 5, state: { status: 'completed' } })
		expect(await hub.trim(PLAN, 5, 'cleared')).toBe(0)
		expect(await log.head(PLAN)).toMatchObject({ epoch, head_seq: 4, oldest_seq: 5 })
	})

	it('calls no event handler again', async () => {
		const { hub } = await openHub()
		const heard: string[] = []
		const last = new Promise<void>((resolve) => {
			hub.on('plan_completed', () => resolve())
		})
		using _handler = hub.on('error', (event) => void heard.push(event.data.message))
		await publish(hub, error('a'), error('b'))
		await hub.trim(PLAN, 3)
		await take(subscribe(hub, { signal: AbortSignal.abort() }))
		await publish(hub, error('c'), done())
		await last
		expect(heard).toEqual(['a', 'b', 'c'])
	})

	it('ignores an unknown plan, and rejects a changed snapshot', async () => {
		const { log, hub } = await openHub()
		expect(await hub.trim(PLAN, 5)).toBe(0)
		await publish(hub, error('a'), error('b'))
		await hub.trim(PLAN, 2)
		const { base } = await log.read(PLAN, 'start', 1)
		await log.trim(PLAN, 3, { base: (base ?? '').replace('"seq":1', '"seq":2'), reason: 'trimmed' })
		await expect(hubOn(log).fold(PLAN)).rejects.toMatchObject({ code: 'storage_unavailable', facts: { plan_id: 'p' } })
	})
})

describe('the summary of a plan', () => {
	it('is updated every five seconds although only progress is published', async () => {
		const log = await openLog({ kind: 'memory' })
		let now = Date.parse('2026-01-01T00:00:00.000Z')
		const hub = hubOn(log, () => now)
		const progress: EventInput = { event_type: 'step_progress', step_id: 's', data: { progress: 0.5 } }
		const ring = vi.fn()
		using _bell = log.watch({ tenant: 'default' }, ring)
		const updatedAt = async () => (await log.head(PLAN))?.summary?.updated_at
		await publish(hub, error('a'))
		now += 4_000
		await publish(hub, progress)
		expect(await updatedAt()).toBe('2026-01-01T00:00:00.000Z')
		now += 1_000
		await publish(hub, progress)
		await publish(hub, progress)
		expect(await updatedAt()).toBe('2026-01-01T00:00:05.000Z')
		expect(ring).toHaveBeenCalledTimes(2)
	})
})
