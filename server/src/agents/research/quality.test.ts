import { describe, expect, it } from 'vitest'
import { assess } from './quality.js'
import { mergeAnswers } from './report.js'
import type { Answer, Quote } from './results.js'

const SHA = 'a'.repeat(64)
const quote = (path: string, start = 0): Quote => ({ path, sha256: SHA, start, end: start + 3, text: 'abc', terms: ['abc'] })
const answer = (question: string, quotes: Quote[], quotable_files = quotes.map(({ path }) => path)): Answer => ({
	question,
	terms: ['abc', 'xyz'],
	unknown_terms: ['xyz'],
	quotable_files,
	quotes,
})
const scores = (answers: Answer[], falseQuotes: Parameters<typeof assess>[1] = []) => {
	const { score, checks } = assess(answers, falseQuotes, 0.6)
	return { score, ...Object.fromEntries(checks.map((check) => [check.name, check.score])) }
}

describe('assess', () => {
	it('returns 1 when every question has two quotes from two files, and the share of its words that they hold', () => {
		const answers = [answer('a?', [quote('a.md'), quote('b.md')]), answer('b?', [quote('c.md'), quote('d.md')])]
		expect(scores(answers)).toEqual({ score: 0.5, coverage: 1, fidelity: 1, diversity: 1, words: 0.5 })
	})

	it('counts a question with two quotes from one file as half covered and names it in the evidence', () => {
		const answers = [answer('a?', [quote('a.md'), quote('b.md')]), answer('b?', [quote('c.md'), quote('c.md', 9)])]
		const { checks, uncovered } = assess(answers, [], 0.8)
		expect(uncovered).toEqual(['b?'])
		expect(checks[0]).toMatchObject({
			name: 'coverage',
			score: 0.75,
			passed: false,
			evidence: { covered: 1, partly: 1, uncovered: [{ question: 'b?', quotes: 2, files: 1, unknown_terms: ['xyz'] }] },
		})
	})

	it('scores 0 when one quote of many is false', () => {
		const answers = [answer('a?', [quote('a.md'), quote('b.md'), quote('b.md', 9)])]
		const falseQuote = { path: 'b.md', start: 9, end: 12, reason: 'The file holds other bytes there.' }
		expect(scores(answers, [falseQuote])).toMatchObject({ score: 0, fidelity: 0, coverage: 1 })
		expect(assess(answers, [falseQuote], 0.6).checks[1]?.evidence).toEqual({ quotes: 3, equal: 2, false_quotes: [falseQuote] })
	})

	it('lowers diversity when the quotes come from few of the available files', () => {
		const quotes = [quote('a.md', 0), quote('a.md', 10), quote('a.md', 20), quote('b.md')]
		expect(scores([answer('a?', quotes, ['a.md', 'b.md', 'c.md', 'd.md'])])).toMatchObject({ diversity: 0.5, score: 0.5 })
	})

	it('returns 0 for an empty report', () => {
		expect(scores([answer('a?', [])])).toEqual({ score: 0, coverage: 0, fidelity: 0, diversity: 0, words: 0 })
		expect(scores([])).toEqual({ score: 0, coverage: 0, fidelity: 0, diversity: 0, words: 0 })
	})
})

describe('mergeAnswers', () => {
	it('keeps the order of the plan, also for questions without a search, and joins duplicate findings', () => {
		const merged = mergeAnswers(
			['a?', 'b?'],
			[answer('c?', []), answer('b?', [quote('a.md')]), answer('b?', [quote('a.md'), quote('b.md')])],
		)
		expect(merged.map(({ question, quotes }) => [question, quotes.length])).toEqual([
			['a?', 0],
			['b?', 2],
			['c?', 0],
		])
	})
})
