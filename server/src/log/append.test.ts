import { createHash } from 'node:crypto'
import { EMPTY_FINGERPRINT, formatCursor, parsePosition } from '@planstream/shared'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { computeFingerprint, createEpoch, encodeEvent } from './append.js'

const sha1 = (text: string): string => createHash('sha1').update(text).digest('hex')
const events = fc.array(fc.record({ event_id: fc.stringMatching(/^[a-z]{1,8}$/), text: fc.string({ unit: 'binary' }) }), {
	minLength: 1,
})

function chain(history: readonly { event_id: string; text: string }[]): string {
	return history.reduce((before, { event_id, text }) => computeFingerprint(before, event_id, text), EMPTY_FINGERPRINT)
}

describe('computeFingerprint', () => {
	it('returns the first 16 digits of sha1 over the previous one, the id and the hash of the text', () => {
		fc.assert(
			fc.property(fc.stringMatching(/^[0-9a-f]{16}$/), events, (before, [event]) => {
				const { event_id, text } = event ?? { event_id: 'a', text: '' }
				expect(computeFingerprint(before, event_id, text)).toBe(sha1(before + event_id + sha1(text)).slice(0, 16))
			}),
		)
	})

	it('changes when any earlier event is changed, omitted or moved', () => {
		fc.assert(
			fc.property(events, fc.nat(), fc.constantFrom('change', 'leave out', 'swap'), (history, at, how) => {
				const other = [...history]
				const index = at % history.length
				const event = history[index]
				if (!event) return
				if (how === 'change') other[index] = { ...event, text: `${event.text}!` }
				else if (how === 'leave out') other.splice(index, 1)
				else other.reverse()
				fc.pre(JSON.stringify(other) !== JSON.stringify(history))
				expect(chain(other)).not.toBe(chain(history))
			}),
		)
	})
})

describe('the encoded event', () => {
	it('is the stored event preceded by its number and cursor', () => {
		fc.assert(
			fc.property(
				fc.dictionary(
					fc.stringMatching(/^[a-z_]{1,9}$/).filter((key) => key !== 'seq' && key !== 'cursor'),
					fc.json(),
				),
				(event) => {
					const text = encodeEvent(JSON.stringify(event), 12, 'e.12.0123456789abcdef')
					expect(JSON.parse(text)).toEqual({ seq: 12, cursor: 'e.12.0123456789abcdef', ...event })
					expect(text.startsWith('{"seq":12,"cursor":"e.12.0123456789abcdef"')).toBe(true)
				},
			),
		)
	})
})

describe('createEpoch', () => {
	it('returns a new value each time that fits into a cursor', () => {
		const epochs = Array.from({ length: 100 }, () => createEpoch())
		expect(new Set(epochs).size).toBe(100)
		for (const epoch of epochs) {
			const cursor = { epoch, seq: 3, fingerprint: EMPTY_FINGERPRINT }
			expect(parsePosition(formatCursor(cursor))).toEqual(cursor)
		}
	})
})
