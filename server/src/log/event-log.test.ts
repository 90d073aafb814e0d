import type { Position } from '@planstream/shared'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type LogFacts, resolvePosition } from './event-log.js'

const fingerprintAt = (seq: number): string => seq.toString(16).padStart(16, '0')

const log = fc
	.record({ head_seq: fc.integer({ min: 1, max: 20 }), gone: fc.nat(20), trim_reason: fc.constantFrom('trimmed', 'cleared') })
	.map(({ head_seq, gone, trim_reason }): LogFacts => {
		const oldest_seq = 1 + Math.min(gone, head_seq)
		return { epoch: 'here', head_seq, oldest_seq, trim_reason: oldest_seq === 1 ? null : trim_reason, fingerprintAt }
	})
const seq = fc.nat(25)
const epoch = fc.constantFrom('here', 'elsewhere')
const cursor = fc
	.record({ epoch, seq, forked: fc.boolean() })
	.map(({ forked, ...rest }) => ({ ...rest, fingerprint: forked ? 'f'.repeat(16) : fingerprintAt(rest.seq) }))
const position: fc.Arbitrary<Position> = fc.oneof(cursor, fc.record({ seq }), fc.constantFrom('start', 'now'))

describe('resolvePosition', () => {
	it('honours a position exactly when the log holds everything after it and the history up to it', () => {
		fc.assert(
			fc.property(position, log, (after, facts) => {
				const at = after === 'start' ? 0 : after === 'now' ? facts.head_seq : after.seq
				const held = at <= facts.head_seq && at >= facts.oldest_seq - 1
				const same =
					typeof after === 'string' || !('epoch' in after) || (after.epoch === 'here' && after.fingerprint === fingerprintAt(at))
				expect(resolvePosition(after, facts).reset === null).toBe(held && same)
			}),
		)
	})

	it('continues right after an honoured position, and from the oldest event after a reset', () => {
		fc.assert(
			fc.property(position, log, (after, facts) => {
				const { reset, from_seq } = resolvePosition(after, facts)
				const at = after === 'start' ? 0 : after === 'now' ? facts.head_seq : after.seq
				expect(from_seq).toBe(reset === null ? at + 1 : facts.oldest_seq)
			}),
		)
	})

	it('requires a fingerprint only where the log has one', () => {
		fc.assert(
			fc.property(position, log, (after, facts) => {
				const asked = (at: number): string => {
					expect(at).toBeGreaterThanOrEqual(facts.oldest_seq - 1)
					expect(at).toBeLessThanOrEqual(facts.head_seq)
					return fingerprintAt(at)
				}
				resolvePosition(after, { ...facts, fingerprintAt: asked })
			}),
		)
	})

	const trimmed: LogFacts = { epoch: 'here', head_seq: 9, oldest_seq: 5, trim_reason: 'cleared', fingerprintAt }
	const fresh: LogFacts = { ...trimmed, oldest_seq: 1, trim_reason: null }
	const full = (at: number, fields = {}): Position => ({ epoch: 'here', seq: at, fingerprint: fingerprintAt(at), ...fields })

	it.each<[string, Position, LogFacts | null, string | null, number]>([
		['the start of a whole log', 'start', fresh, null, 1],
		['the start of a cleared log', 'start', trimmed, 'cleared', 5],
		['number 0 of a cleared log', { seq: 0 }, trimmed, 'cleared', 5],
		['the position before the oldest event', full(4), trimmed, null, 5],
		['another history at the position before the oldest event', full(4, { fingerprint: 'f'.repeat(16) }), trimmed, 'fork', 5],
		['a position that was removed', full(3), trimmed, 'cleared', 5],
		['a position beyond the head', full(10), trimmed, 'rewind', 5],
		['a number beyond the head', { seq: 10 }, trimmed, 'rewind', 5],
		['a number within', { seq: 7 }, trimmed, null, 8],
		['a position of another epoch', full(7, { epoch: 'elsewhere' }), trimmed, 'epoch', 5],
		['a position of another epoch beyond the head', full(99, { epoch: 'elsewhere' }), trimmed, 'epoch', 5],
		['another history within', full(7, { fingerprint: 'f'.repeat(16) }), trimmed, 'fork', 5],
		['now', 'now', trimmed, null, 10],
		['the start of a missing log', 'start', null, null, 1],
		['now in a missing log', 'now', null, null, 1],
		['number 0 of a missing log', { seq: 0 }, null, null, 1],
		['a number of no log', { seq: 1 }, null, 'rewind', 1],
		['a cursor of no log', full(0), null, 'epoch', 1],
	])('is right for %s', (_name, after, facts, reset, from_seq) => {
		expect(resolvePosition(after, facts)).toEqual({ reset, from_seq })
	})
})
