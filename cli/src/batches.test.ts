import fc from 'fast-check'
import { expect, it } from 'vitest'
import { batches } from './batches.js'

const sent = (bytes: number, at: number) => ({
	event: { event_id: String(at), event_type: 'error' as const, data: { code: 'x', message: '' } },
	place: `line ${at + 1}`,
	bytes,
})

it('keeps every event in its place and every batch within 256 events and 1 MB', () => {
	const sizes = fc.array(fc.oneof(fc.integer({ min: 2, max: 400 }), fc.integer({ min: 2, max: 1_000_000 })), { maxLength: 800 })
	fc.assert(
		fc.property(sizes, (bytes) => {
			const events = bytes.map(sent)
			const cut = batches(events)
			expect(cut.flat()).toEqual(events)
			for (const batch of cut) {
				expect(batch.length).toBeGreaterThan(0)
				expect(batch.length).toBeLessThanOrEqual(256)
				expect(batch.reduce((sum, event) => sum + event.bytes + 1, -1)).toBeLessThanOrEqual(1_000_000)
			}
		}),
	)
})

it('cuts no more often than it must', () => {
	expect(batches(Array.from({ length: 600 }, (_, at) => sent(100, at))).map((batch) => batch.length)).toEqual([256, 256, 88])
	expect(batches([])).toEqual([])
})

it('sends an event alone that is larger than a batch, for the server to judge', () => {
	expect(batches([10, 2_000_000, 10].map(sent)).map((batch) => batch.length)).toEqual([1, 1, 1])
})
