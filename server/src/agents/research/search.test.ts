import { describe, expect, it } from 'vitest'
import { extractTerms, removeOtherForms, splitNames } from './search.js'

describe('searchTerms', () => {
	it('keeps the distinctive words of a question, each once and in order', () => {
		expect(extractTerms('How does the Log ring the hub, and why the log?')).toEqual(['log', 'ring', 'hub'])
	})

	it('drops the verb of "How do I ..." when two other words remain', () => {
		expect(extractTerms('How do I add a hook to a route?')).toEqual(['hook', 'route'])
		expect(extractTerms('How do I add a hook?')).toEqual(['add', 'hook'])
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

describe('splitNames', () => {
	it('adds the words of names, and nothing to other texts', () => {
		expect(splitNames('`bodyLimit` and HTTPServer of a iOS')).toBe('`bodyLimit` and HTTPServer of a iOS body Limit i OS')
		expect(splitNames('The tide, ÜBER all.')).toBe('The tide, ÜBER all.')
	})
})
