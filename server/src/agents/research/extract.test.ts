import { describe, expect, it } from 'vitest'
import { chooseQuotes, countNeededTerms } from './extract.js'

const candidate = (path: string, text: string, ...terms: string[]) => ({ path, text, terms })

describe('chooseQuotes', () => {
	it('takes the best sentence of each file before the second best of any', () => {
		const candidates = ['a1', 'a2', 'a3', 'b1', 'c1', 'b2'].map((text) => candidate(text.charAt(0), text, 'tide'))
		const { quotes, quotableFiles } = chooseQuotes(candidates, 1, 5)
		expect(quotes.map(({ text }) => text)).toEqual(['a1', 'b1', 'c1', 'a2', 'b2'])
		expect(quotableFiles).toEqual(['a', 'b', 'c'])
	})

	it('ignores sentences that share a single common word with a longer question', () => {
		const candidates = [candidate('a', 'one', 'tide'), candidate('b', 'two', 'tide', 'moon')]
		expect(chooseQuotes(candidates, 3, 5).quotes.map(({ text }) => text)).toEqual(['two'])
	})

	it('counts a text that occurs in two files once', () => {
		const candidates = [candidate('a', 'the same  text', 'tide'), candidate('b', 'the same\ntext', 'tide')]
		expect(chooseQuotes(candidates, 1, 5).quotes).toHaveLength(1)
	})

	it('requires half of the words, and both when there are two', () => {
		expect([0, 1, 2, 3, 4, 5, 6, 9].map(countNeededTerms)).toEqual([0, 1, 2, 2, 2, 3, 3, 5])
	})
})
