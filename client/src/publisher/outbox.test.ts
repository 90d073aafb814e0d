import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Outbox, type Outgoing } from './outbox.js'

const item = (bytes: number, event_id: string): Outgoing => ({
	event: { event_id, event_type: 'error', data: { code: 'x', message: '' } },
	bytes,
})

/** Adds items while there is room and cuts batches until none are left. */
function batchesOf(items: readonly Outgoing[]): Outgoing[][] {
	const outbox = new Outbox<Outgoing>()
	const batches: Outgoing[][] = []
	const left = [...items]
	while (left.length > 0 || !outbox.empty) {
		for (let [next] = left; next !== undefined && outbox.hasRoom(next); [next] = left) {
			outbox.add(next)
			left.shift()
		}
		const batch = outbox.cut()
		batches.push(batch)
		outbox.settle(batch)
	}
	expect(outbox.size).toBe(0)
	return batches
}

describe('Outbox', () => {
	it('keeps the order of events and limits a batch to 256 events, 1 MB and one event per id', () => {
		const bytes = fc.oneof(fc.integer({ min: 2, max: 400 }), fc.integer({ min: 2, max: 1_000_000 }))
		const events = fc.array(fc.record({ bytes, id: fc.integer({ min: 0, max: 400 }) }), { maxLength: 800 })
		fc.assert(
			fc.property(events, (drawn) => {
				const items = drawn.map(({ bytes, id }) => item(bytes, String(id)))
				const batches = batchesOf(items)
				expect(batches.flat()).toEqual(items)
				for (const batch of batches) {
					expect(batch.length).toBeGreaterThan(0)
					expect(batch.length).toBeLessThanOrEqual(256)
					expect(new Set(batch.map(({ event }) => event.event_id)).size).toBe(batch.length)
					if (batch.length > 1) expect(batch.reduce((sum, { bytes }) => sum + bytes + 1, 0)).toBeLessThanOrEqual(1_000_000)
				}
			}),
		)
	})

	it('cuts as few batches as possible', () => {
		const events = Array.from({ length: 600 }, (_, at) => item(100, String(at)))
		expect(batchesOf(events).map((batch) => batch.length)).toEqual([256, 256, 88])
	})

	it('sends an event larger than a batch alone and leaves it to the server to reject it', () => {
		const events = [10, 9_000_000, 10].map((bytes, at) => item(bytes, String(at)))
		expect(batchesOf(events).map((batch) => batch.length)).toEqual([1, 1, 1])
	})

	it('has room for 1,024 events or 4 MiB, including the batch in flight', () => {
		const outbox = new Outbox<Outgoing>()
		for (let at = 0; at < 1024; at++) outbox.add(item(10, String(at)))
		expect(outbox.hasRoom(item(10, 'x'))).toBe(false)
		const batch = outbox.cut()
		expect(outbox.hasRoom(item(10, 'x'))).toBe(false)
		outbox.settle(batch)
		expect(outbox.hasRoom(item(10, 'x'))).toBe(true)
		expect(outbox.hasRoom(item(4 * 1024 * 1024, 'x'))).toBe(false)
	})
})
