/** What the choice looks at; whoever calls may carry more. */
export interface Candidate {
	readonly path: string
	readonly text: string
	/** Words of the question that occur in it. */
	readonly terms: readonly string[]
}

/**
 * How many of a question's words a sentence must hold to say something about it: half of them, and two at least
 * where there are two. A few common words are how an unrelated text looks like an answer.
 */
export function neededTerms(termsOfQuestion: number): number {
	return Math.max(Math.min(2, termsOfQuestion), Math.ceil(termsOfQuestion / 2))
}

/**
 * Chooses quotes from candidates that are ordered best first: the best of each file, then the second best of each,
 * until there are enough. Candidates with too few words of the question and texts that were taken already are passed over.
 *
 * @param termsOfQuestion - how many words the question was searched with
 * @returns the quotes, and all files that had a candidate
 */
export function chooseQuotes<Item extends Candidate>(
	candidates: readonly Item[],
	termsOfQuestion: number,
	maxQuotes: number,
): { readonly quotes: readonly Item[]; readonly quotableFiles: readonly string[] } {
	const needed = neededTerms(termsOfQuestion)
	const byFile = new Map<string, Item[]>()
	const texts = new Set<string>()
	for (const candidate of candidates) {
		const text = candidate.text.replace(/\s+/g, ' ')
		if (candidate.terms.length < needed || texts.has(text)) continue
		texts.add(text)
		const ofFile = byFile.get(candidate.path)
		if (ofFile === undefined) byFile.set(candidate.path, [candidate])
		else ofFile.push(candidate)
	}
	const rounds = Math.max(0, ...[...byFile.values()].map((items) => items.length))
	const quotes = Array.from({ length: rounds }, (_, round) =>
		[...byFile.values()].flatMap((items) => items.slice(round, round + 1)),
	)
	return { quotes: quotes.flat().slice(0, maxQuotes), quotableFiles: [...byFile.keys()] }
}
