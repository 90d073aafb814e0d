import type { ReadyFrame } from '@planstream/shared'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Position, receive, UNKNOWN_POSITION } from './stream-reader.js'
import type { Delivery } from './transports/transport.js'

const event = (seq: number, event_type = 'step_progress'): Delivery => ({ cursor: `e.${seq}`, item: { event_type, seq } })

const ready = (fields: Partial<ReadyFrame>): Delivery => {
	const cursor = `e.${(fields.from_seq ?? 1) - 1}`
	return { cursor, item: { frame: 'ready', cursor, from_seq: 1, reset: null, ...fields } }
}

/** Receives all deliveries and returns the sequence numbers of the new events. */
function takeAll(deliveries: readonly Delivery[], from: Position = UNKNOWN_POSITION): { position: Position; seen: number[] } {
	const seen: number[] = []
	let position = from
	for (const delivery of deliveries) {
		const received = receive(position, delivery)
		position = received.position
		if (received.event) seen.push(received.event.seq)
	}
	return { position, seen }
}

describe('receive', () => {
	it('advances with each event and drops events it has seen', () => {
		const { position, seen } = takeAll([ready({}), event(1), event(2), event(2), event(1), event(3)])
		expect(seen).toEqual([1, 2, 3])
		expect(position).toEqual({ cursor: 'e.3', seq: 3 })
	})

	it('advances past an event of an unknown type and withholds it', () => {
		const { position, seen } = takeAll([event(1), event(2, 'step_teleported'), event(3)])
		expect(seen).toEqual([1, 3])
		expect(position.seq).toBe(3)
		expect(takeAll([event(1), event(2, 'step_teleported')]).position.cursor).toBe('e.2')
	})

	it('advances with a position frame, so that filtered events are not requested again', () => {
		const frame: Delivery = { cursor: 'e.9', item: { frame: 'position', cursor: 'e.9' } }
		expect(takeAll([event(1), frame]).position.cursor).toBe('e.9')
	})

	it('starts at the sequence number in the ready frame', () => {
		expect(takeAll([ready({ from_seq: 5 }), event(4), event(5)])).toEqual({ seen: [5], position: { cursor: 'e.5', seq: 5 } })
	})

	it('moves back only on a reset, after which numbers may start again', () => {
		const before = takeAll([event(1), event(2), event(3)]).position
		expect(takeAll([ready({ from_seq: 1 }), event(1), event(4)], before).seen).toEqual([4])
		expect(takeAll([ready({ from_seq: 1, reset: { reason: 'epoch' } }), event(1), event(2)], before).seen).toEqual([1, 2])
	})

	it('ignores frames and items of a newer protocol', () => {
		const strange: Delivery[] = [null, 1, 'x', [], {}, { frame: 'weather' }, { event_type: 'error' }].map((item) => ({
			item,
			cursor: 'e.8',
		}))
		expect(takeAll([event(1), ...strange])).toEqual({ seen: [1], position: { cursor: 'e.1', seq: 1 } })
	})

	it('yields 1 to N once each wherever connections start their replays', () => {
		const connections = fc.array(fc.tuple(fc.integer({ min: 0, max: 20 }), fc.integer({ min: 0, max: 20 })), { maxLength: 12 })
		fc.assert(
			fc.property(connections, (list) => {
				let position = UNKNOWN_POSITION
				const all: number[] = []
				for (const [back, length] of list) {
					const from = Math.max(1, position.seq + 1 - back)
					const replay = [ready({ from_seq: from }), ...Array.from({ length }, (_, index) => event(from + index))]
					const taken = takeAll(replay, position)
					position = taken.position
					all.push(...taken.seen)
				}
				expect(all).toEqual(all.map((_, index) => index + 1))
			}),
			{ seed: 3 },
		)
	})
})
