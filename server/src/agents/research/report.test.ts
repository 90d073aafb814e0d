import { describe, expect, it } from 'vitest'
import { formatSections } from './report.js'
import type { CrosscheckResult, Quote } from './results.js'

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

	it('names what it does not cover and the words it searched for', () => {
		const report = formatSections('T', checked([], [])).join('')
		expect(report).toContain('The corpus does not cover this question. Words that occur nowhere: swell.')
		expect(report).toContain('| lowest of these | 0.50 |')
		expect(report).toMatch(/Not covered:\n\n- Q2\?\n$/)
	})
})
