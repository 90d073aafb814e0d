import { describe, expect, it } from 'vitest'
import { chooseQuotes, scoreSentence, weighTerm } from './ranking.js'

describe('chooseQuotes', () => {
	const item = (path: string, text: string, score: number, start = 0) => ({ path, text, score, start })
	const choose = (items: ReturnType<typeof item>[], max = 9) => chooseQuotes(items, max).quotes.map(({ text }) => text)

	it('takes the best sentence of each file before the second best of any, and gives those of a file in its order', () => {
		const items = [
			item('a', 'a2', 0.9, 20),
			item('b', 'b1', 0.8),
			item('a', 'a1', 1, 50),
			item('a', 'a3', 0.85, 1),
			item('c', 'c1', 0.75),
		]
		const { quotes, quotableFiles } = chooseQuotes(items, 4)
		expect(quotes.map(({ text }) => text)).toEqual(['a2', 'a1', 'b1', 'c1'])
		expect(quotableFiles).toEqual(['a', 'b', 'c'])
	})

	it('leaves out what is far below the best, but for one sentence of a second file', () => {
		const items = [
			item('a', 'best', 1),
			item('a', 'good', 0.7),
			item('a', 'weak', 0.69),
			item('b', 'other', 0.5),
			item('c', 'third', 0.5),
		]
		expect(choose(items)).toEqual(['best', 'good', 'other'])
	})

	it('leaves out what has no score', () => {
		expect(choose([item('a', 'none', 0), item('b', 'nothing', 0)])).toEqual([])
	})

	it('gives a text once, whatever its spaces, marks and case', () => {
		expect(choose([item('a', 'The same  text.', 1), item('b', '*the same*\ntext', 1)])).toEqual(['The same  text.'])
	})
})

describe('scoreSentence', () => {
	const weights = new Map([
		['tide', 3],
		['moon', 1],
	])
	const TEXT = 'The tide rises where the moon pulls the sea towards itself.'
	const score = (
		text: string,
		terms: string[],
		{ path = 'sea.md', headingTerms = [] as string[], pathTerms = [] as string[] } = {},
	) => scoreSentence({ path, text, terms, headingTerms, pathTerms }, weights)

	it('is the share of the weight of the words in the sentence, and less for those in its heading and path', () => {
		expect(score(TEXT, ['tide', 'moon'])).toBe(1)
		expect(score(TEXT, ['tide'], { headingTerms: ['moon', 'tide'] })).toBe(0.875)
		expect(score(TEXT, ['tide'], { pathTerms: ['moon'] })).toBeCloseTo(0.825)
	})

	it('is 0 when the rare word is missing, even in the heading of another sentence, and for one of two words', () => {
		expect(score(TEXT, ['moon'])).toBe(0)
		expect(score(TEXT, ['moon'], { headingTerms: ['tide'] })).toBe(0)
		expect(score(TEXT, ['tide'])).toBe(0)
		expect(score(TEXT, [])).toBe(0)
	})

	it.each([
		['code', 'const tide = moon + sun, and nothing else is at work here;'],
		['a fence', 'The tide of the moon: ```js tide(moon)```'],
		['front matter', '---\nname: tide and moon'],
		['a link', '[Tide of the moon](./tide.md) [Sea](sea.md)'],
		['the rest of a sentence', 'of the moon), the tide of the sea is higher than at other times.'],
		['the end of a link', '/tide.md#moon) option.'],
	])('is 0 for %s', (_, text) => {
		expect(score(text, ['tide', 'moon'])).toBe(0)
	})

	it.each([
		['a question', 'Where does the moon pull the tide of the whole sea?'],
		['the announcement of code', 'The tide of the moon is computed in these few lines:'],
		['a heading', 'The tide of the moon and of the sun in every sea'],
		['a row of a table', '| tide | the moon pulls the sea towards itself, twice a day. |'],
		['a few words', 'Tide of the moon.'],
		['what speaks of the sentence before it', 'This is the tide where the moon pulls the sea towards itself.'],
		['a line of a changelog', 'The tide follows the moon and not the sun any more (#1234).'],
	])('is below that of a sentence for %s', (_, text) => {
		expect(score(text, ['tide', 'moon'])).toBeLessThan(1)
		expect(score(text, ['tide', 'moon'])).toBeGreaterThan(0)
	})

	it('is lower in a changelog', () => {
		expect(score(TEXT, ['tide', 'moon'], { path: 'docs/CHANGELOG.md' })).toBe(0.7)
	})
})

describe('weighTerm', () => {
	it('gives a rare word more than a frequent one, and each at least 1', () => {
		expect(weighTerm(3, 3000)).toBeGreaterThan(3 * weighTerm(1500, 3000))
		expect(weighTerm(3000, 3000)).toBeGreaterThan(1)
	})
})
