import type { Check } from '@planstream/shared'
import type { Answer } from './results.js'

/** A question counts as covered from so many quotes ... */
const QUOTES_TO_COVER = 2
/** ... out of so many files. */
const FILES_TO_COVER = 2

/** A quote that is not what its file says, and why. */
export interface FalseQuote {
	readonly path: string
	readonly start: number
	readonly end: number
	readonly reason: string
}

export interface Quality {
	/** The least of the three scores. */
	readonly score: number
	/** `coverage`, `fidelity` and `diversity`, with what a reviewer has to know as evidence. */
	readonly checks: readonly Check[]
	readonly uncovered: readonly string[]
}

/**
 * The computed quality of the answers. Pure; the quotes were compared with the files before.
 *
 * - `coverage`: covered questions / all questions. The evidence names each uncovered question with its quotes, files
 *   and the words of it that occur nowhere, which is what a reviewer needs to add a step that searches with others.
 * - `fidelity`: 1 when there are quotes and every one equals the source bytes, else 0: there is no "nearly" in
 *   quoting. The evidence holds the count and each false quote.
 * - `diversity`: files cited / the most that could have been cited, which is the number of files with a quotable
 *   sentence or the number of quotes, whichever is less. It says whether the choice leans on few files where more
 *   were to be had; it does not say that the corpus itself has many voices.
 *
 * @param minScore - from where on coverage and diversity count as passed
 */
export function assess(answers: readonly Answer[], falseQuotes: readonly FalseQuote[], minScore: number): Quality {
	const checks = [coverage(answers, minScore), fidelity(answers, falseQuotes), diversity(answers, minScore)]
	return {
		score: Math.min(...checks.map((check) => check.score)),
		checks,
		uncovered: answers.filter((answer) => !isCovered(answer)).map((answer) => answer.question),
	}
}

export function isCovered({ quotes }: Pick<Answer, 'quotes'>): boolean {
	return quotes.length >= QUOTES_TO_COVER && filesOf(quotes).size >= FILES_TO_COVER
}

function coverage(answers: readonly Answer[], minScore: number): Check {
	const uncovered = answers.filter((answer) => !isCovered(answer))
	const score = share(answers.length - uncovered.length, answers.length)
	return {
		name: 'coverage',
		score,
		passed: score >= minScore,
		evidence: {
			questions: answers.length,
			covered: answers.length - uncovered.length,
			needed: { quotes: QUOTES_TO_COVER, files: FILES_TO_COVER },
			uncovered: uncovered.map(({ question, quotes, unknown_terms }) => ({
				question,
				quotes: quotes.length,
				files: filesOf(quotes).size,
				unknown_terms,
			})),
		},
	}
}

function fidelity(answers: readonly Answer[], falseQuotes: readonly FalseQuote[]): Check {
	const quotes = answers.reduce((sum, answer) => sum + answer.quotes.length, 0)
	const exact = quotes > 0 && falseQuotes.length === 0
	return {
		name: 'fidelity',
		score: exact ? 1 : 0,
		passed: exact,
		evidence: { quotes, equal: quotes - falseQuotes.length, false_quotes: falseQuotes.map((quote) => ({ ...quote })) },
	}
}

function diversity(answers: readonly Answer[], minScore: number): Check {
	const quotes = answers.flatMap((answer) => answer.quotes)
	const cited = filesOf(quotes).size
	const places = new Set(quotes.map(({ path, start }) => `${path}:${start}`)).size
	const quotable = new Set(answers.flatMap((answer) => answer.quotable_files)).size
	const possible = Math.min(places, quotable)
	const score = share(cited, possible)
	return { name: 'diversity', score, passed: score >= minScore, evidence: { files_cited: cited, best_possible: possible } }
}

function filesOf(quotes: Answer['quotes']): Set<string> {
	return new Set(quotes.map((quote) => quote.path))
}

/** Nothing out of nothing is no merit: 0. A part never exceeds its whole. */
function share(part: number, whole: number): number {
	return whole === 0 ? 0 : Math.min(1, part / whole)
}
