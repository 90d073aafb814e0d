import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { escapeLineEnds } from './json-line.js'

const text = fc.array(fc.constantFrom('a', '\u0085', '\u2028', '\u2029', '\\', '"', '\n', '😀')).map((parts) => parts.join(''))

describe('escapeLineEnds', () => {
	it('makes one line for every reader, with the same value', () => {
		fc.assert(
			fc.property(fc.dictionary(text, text), (value) => {
				const line = escapeLineEnds(JSON.stringify(value))
				expect(line).not.toMatch(/[\n\r\u0085\u2028\u2029]/)
				expect(JSON.parse(line)).toEqual(value)
			}),
		)
	})

	it('returns other text as it is', () => {
		const json = JSON.stringify({ text: 'a\n"é" 😀' })
		expect(escapeLineEnds(json)).toBe(json)
	})
})
