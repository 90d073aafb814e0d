import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { splitSentences } from './extract.js'
import { MAX_PASSAGE_CHARACTERS, splitPassages } from './passages.js'

const piece = fc.oneof(
	fc.string({ unit: 'grapheme', maxLength: 30 }),
	fc.constantFrom(
		'\n',
		'\n\n',
		'\r\n',
		'\n# Heading\n',
		'\n```\n',
		'\n- item ',
		'| cell | ',
		'. ',
		'! ',
		'\u2028',
		'\uFEFF',
		'🜚é潮 ',
		' ',
	),
	fc.constant('A sentence that is long enough to be quoted, with ümläuts. '),
)
const document = fc.array(piece, { maxLength: 60 }).map((pieces) => pieces.join(''))

const bytesAt = (source: Buffer, { start, end }: { start: number; end: number }) => source.subarray(start, end).toString('utf8')

describe('splitPassages', () => {
	it('returns passages and sentences that equal the source bytes at their offsets', () => {
		fc.assert(
			fc.property(document, (text) => {
				const source = Buffer.from(text, 'utf8')
				for (const passage of splitPassages(text)) {
					expect(bytesAt(source, passage)).toBe(passage.text)
					for (const message of splitSentences(passage)) expect(bytesAt(source, message)).toBe(message.text)
				}
			}),
			{ numRuns: 500 },
		)
	})

	it('returns ordered passages that never overlap and together omit only blanks, headings and fences', () => {
		fc.assert(
			fc.property(document, (text) => {
				const source = Buffer.from(text, 'utf8')
				let at = 0
				let missed = ''
				for (const { start, end } of splitPassages(text)) {
					expect(start).toBeGreaterThanOrEqual(at)
					missed += bytesAt(source, { start: at, end: start })
					at = end
				}
				missed += bytesAt(source, { start: at, end: source.length })
				for (const line of missed.split('\n')) expect(line.trim()).toMatch(/^$|^#{1,6}[ \t]|^={1,6}[ \t]|^(```|~~~)/)
			}),
		)
	})

	it('records the heading above a passage and whether it is code', () => {
		const passages = [...splitPassages('before\n\n# One\ntext\n```ts\n# no heading\n\ncode\n```\nafter\n')]
		expect(passages.map(({ heading, code, text }) => ({ heading, code, text }))).toEqual([
			{ heading: '', code: false, text: 'before' },
			{ heading: 'One', code: false, text: 'text' },
			{ heading: 'One', code: true, text: '# no heading\n\ncode' },
			{ heading: 'One', code: false, text: 'after' },
		])
	})

	it('takes front matter and indented fences as code', () => {
		const passages = [...splitPassages('---\ntitle: x\n\na: b\n---\ntext\n\n* item\n    ```js\n    code\n    ```\n---\nrest\n')]
		expect(passages.map(({ code, text }) => ({ code, text }))).toEqual([
			{ code: true, text: '---\ntitle: x\n\na: b\n---' },
			{ code: false, text: 'text' },
			{ code: false, text: '* item' },
			{ code: true, text: '    code' },
			{ code: false, text: '---\nrest' },
		])
	})

	it('shortens a heading that is a whole text', () => {
		const [passage] = splitPassages(`# ${'𝄞'.repeat(1000)}\nbelow\n`)
		expect(passage).toMatchObject({ heading: '𝄞'.repeat(200), text: 'below' })
	})

	it('cuts text without an end, and never within a character', () => {
		const text = '𝄞'.repeat(3 * MAX_PASSAGE_CHARACTERS + 1)
		const passages = [...splitPassages(`x${text}`)]
		expect(passages.length).toBeGreaterThan(3)
		expect(passages.map((passage) => passage.text).join('')).toBe(`x${text}`)
		for (const passage of passages) expect(Buffer.from(passage.text).toString()).toBe(passage.text)
	})
})

describe('splitSentences', () => {
	it('ends no sentence within a link, code or an abbreviation', () => {
		const text = 'It is told in the [guide](../Guides/Hooks.md), i.e. In all `a. B. C` of it. The next one is another sentence.'
		expect([...splitSentences({ text, start: 0 })].map((sentence) => sentence.text)).toEqual([
			'It is told in the [guide](../Guides/Hooks.md), i.e. In all `a. B. C` of it.',
			'The next one is another sentence.',
		])
	})

	it('joins wrapped lines and separates list items', () => {
		const text =
			'The log is the truth of\nevery plan there is. The hub is only its doorbell.\n- A cursor names a position in it.\n- An epoch names the log.'
		expect([...splitSentences({ text, start: 0 })].map((message) => message.text)).toEqual([
			'The log is the truth of\nevery plan there is.',
			'The hub is only its doorbell.',
			'A cursor names a position in it.',
		])
	})
})
