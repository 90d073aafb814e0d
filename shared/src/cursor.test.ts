import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { formatPosition, parsePosition } from './cursor.js'

const full = fc.record({
	epoch: fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/),
	seq: fc.nat(),
	fingerprint: fc.stringMatching(/^[0-9a-f]{16}$/),
})

describe('parsePosition', () => {
	it('reads back what formatPosition wrote', () => {
		const position = fc.oneof(full, fc.record({ seq: fc.nat() }), fc.constantFrom('start' as const, 'now' as const))
		fc.assert(
			fc.property(position, (given) => {
				expect(parsePosition(formatPosition(given))).toEqual(given)
				expect(formatPosition(given)).toMatch(/^[A-Za-z0-9._-]+$/)
			}),
		)
	})

	it('returns null for malformed text', () => {
		const garbage = [
			'',
			' ',
			'-1',
			'01',
			'1.5',
			'e.1',
			'e.1.abc',
			'e.01.0000000000000000',
			'START',
			'9'.repeat(17),
			'e.1.0000000000000000\n',
			'1\n',
		]
		for (const text of garbage) expect(parsePosition(text), JSON.stringify(text)).toBeNull()
		fc.assert(
			fc.property(fc.string(), (text) => {
				const position = parsePosition(text)
				if (position !== null) expect(formatPosition(position)).toBe(text)
			}),
		)
	})
})
