import type { Answer } from './results.js'

/**
 * One answer a question: those of the plan first and in its order, also those nobody looked for; then the others.
 * What several steps found for the same question is put together, each quote once.
 */
export function mergeAnswers(questions: readonly string[], answers: readonly Answer[]): Answer[] {
	const merged = new Map<string, Answer>(questions.map((question) => [question, unanswered(question)]))
	for (const found of answers) {
		const known = merged.get(found.question) ?? unanswered(found.question)
		merged.set(found.question, {
			question: found.question,
			terms: union(known.terms, found.terms),
			unknown_terms: union(known.unknown_terms, found.unknown_terms),
			quotable_files: union(known.quotable_files, found.quotable_files),
			quotes: [...known.quotes, ...found.quotes.filter((quote) => !known.quotes.some((other) => isSamePlace(quote, other)))],
		})
	}
	return [...merged.values()]
}

type Place = { readonly path: string; readonly start: number; readonly end: number }

export function isSamePlace(one: Place, other: Place): boolean {
	return one.path === other.path && one.start === other.start && one.end === other.end
}

function unanswered(question: string): Answer {
	return { question, terms: [], unknown_terms: [], quotable_files: [], quotes: [] }
}

function union(one: readonly string[], other: readonly string[]): string[] {
	return [...new Set([...one, ...other])]
}
