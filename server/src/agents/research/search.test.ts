import { describe, expect, it } from 'vitest'
import { searchTerms, withoutOtherForms } from './search.js'

describe('searchTerms', () => {
	it('keeps the distinctive words of a question, each once and in order', () => {
		expect(searchTerms('How does the Log ring the hub, and why the log?')).toEqual(['log', 'ring', 'hub'])
	})

	it('keeps the words of a question that has only stop words', () => {
		expect(searchTerms('Who are we?')).toEqual(['who', 'are', 'we'])
	})

	it('returns nothing for a question without words', () => {
		expect(searchTerms('?! " * ()')).toEqual([])
	})
})

describe('withoutOtherForms', () => {
	it('drops words that the tokenizer treats as the same word', () => {
		expect(withoutOtherForms(['cursor', 'cursors', 'résumé', 'resume', 'epoch'])).toEqual(['cursor', 'résumé', 'epoch'])
	})
})
