import { describe, expect, it } from 'vitest'
import { extractTerms, removeOtherForms } from './search.js'

describe('searchTerms', () => {
	it('keeps the distinctive words of a question, each once and in order', () => {
		expect(extractTerms('How does the Log ring the hub, and why the log?')).toEqual(['log', 'ring', 'hub'])
	})

	it('keeps the words of a question that has only stop words', () => {
		expect(extractTerms('Who are we?')).toEqual(['who', 'are', 'we'])
	})

	it('returns nothing for a question without words', () => {
		expect(extractTerms('?! " * ()')).toEqual([])
	})
})

describe('withoutOtherForms', () => {
	it('drops words that the tokenizer treats as the same word', () => {
		expect(removeOtherForms(['cursor', 'cursors', 'résumé', 'resume', 'epoch'])).toEqual(['cursor', 'résumé', 'epoch'])
	})
})
