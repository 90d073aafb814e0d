import { describe, expect, it } from 'vitest'
import { formatSections } from './report.js'
import type { CrosscheckResult, InventoryResult, Quote } from './results.js'

const SHA = 'a'.repeat(64)
const quote = (text: string, start: number): Quote => ({
	path: 'a.md',
	sha256: SHA,
	start,
	end: start + text.length,
	text,
	terms: [],
})

function checked(...quotes: Quote[][]): CrosscheckResult {
	return {
		kind: 'corpus.crosscheck',
		corpus: null,
		quality_score: 0.5,
		scores: { coverage: 0.5, fidelity: 1, diversity: 1 },
		uncovered: ['Q2?'],
		answers: quotes.map((each, at) => ({
			question: `Q${at + 1}?`,
			terms: [],
			unknown_terms: at === 1 ? ['swell'] : [],
			quotable_files: [],
			quotes: each,
			covered: at === 0,
		})),
	}
}

describe('the report', () => {
	it('gives a place that is quoted twice one number', () => {
		const report = formatSections(
			'T',
			checked([quote('first words', 0), quote('other words', 20)], [quote('other words', 20)]),
		).join('')
		expect(report.match(/^> other words \[2\]$/gm)).toHaveLength(2)
		expect(report.match(/^- \[\d\] `a.md`/gm)).toHaveLength(2)
	})

	it('keeps a multi-line quote in one block and escapes markup except in code', () => {
		const report = formatSections('<T>', checked([quote('one <b>\n  two `Map<string>`', 0)])).join('')
		expect(report).toContain('# &lt;T>\n')
		expect(report).toContain('> one &lt;b>\n> two `Map<string>` [1]\n')
	})

	it('says first how many questions are covered, and names the others, their words that occur nowhere and what was found', () => {
		const { answers, ...none } = checked([], [], [quote('one', 0)])
		const partly = answers.map((answer) => ({ ...answer, covered: false }))
		const report = formatSections('T', { ...none, answers: partly, uncovered: ['Q1?', 'Q2?', 'Q3?'] }).join('')
		expect(report).toMatch(/^# T\n\nCovered: 0 of 3 questions, .*\n\nNot fully covered:\n\n- Q1\?\n- Q2\?\n- Q3\?\n/)
		expect(report).toContain('Not covered: no sentence has enough words of this question. Words that occur nowhere: swell.')
		expect(report).toContain('Partly covered: one quote from one document.\n\n> one [1]')
	})

	it('gives the line of each source, and no score', () => {
		const report = formatSections('T', checked([{ ...quote('words', 0), line: 7 }])).join('')
		expect(report).toContain('- [1] `a.md`, line 7, bytes 0 to 5\n')
		expect(report).toContain('- Each quote equals the bytes of its document.\n- 1 quote is from 1 document.\n')
		expect(report).not.toMatch(/\d\.\d/)
	})

	it('ends with what was read, and what was not and why', () => {
		const inventory: InventoryResult = {
			kind: 'corpus.inventory',
			corpus: null,
			digest: SHA,
			documents: 1,
			total_bytes: 20,
			listing: { artifact_id: SHA, name: 'documents.txt' },
			files: [],
			skipped: { count: 4, by_reason: { binary: 1, other_type: 3 }, first: [{ path: 'b.txt', reason: 'binary' }] },
		}
		const [last] = formatSections('T', checked([quote('words', 0)]), inventory).slice(-1)
		expect(last).toBe(`
## Documents

1 document, 20 bytes; skipped files: binary 1, of another type 3.

- \`b.txt\` is binary
`)
	})

	it('says how many quotes a result had no room for', () => {
		const report = formatSections('T', { ...checked([quote('words', 0)]), left_out: 3 }).join('')
		expect(report).toContain('- 3 further quotes have no room here; ask fewer questions at a time.\n')
	})
})
