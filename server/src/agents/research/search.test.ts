import { describe, expect, it } from 'vitest'
import { searchTerms, withoutOtherForms } from './search.js'

describe('searchTerms', () => {
	it('keeps the telling words of a question, each once and in order', () => {
		expect(searchTerms('How does the Log ring the hub, and why the log?')).toEqual(['log', 'ring', 'hub'])
	})

	it('keeps the words of a question of stop words alone', () => {
		expect(searchTerms('Who are we?')).toEqual(['who', 'are', 'we'])
	})

	it('finds nothing in a question without a word', () => {
		expect(searchTerms('?! " * ()')).toEqual([])
	})
})

describe('withoutOtherForms', () => {
	it('drops what the tokenizer takes for the same word', () => {
		expect(withoutOtherForms(['cursor', 'cursors', 'résumé', 'resume', 'epoch'])).toEqual(['cursor', 'résumé', 'epoch'])
	})
})
