import type { Check } from '@planstream/shared'
import type { Answer } from './results.js'

/** Minimum number of quotes for a covered question ... */
const QUOTES_TO_COVER = 2
/** ... and of the files they come from. */
const FILES_TO_COVER = 2

/** A quote that differs from its file, and why. */
export interface FalseQuote {
	readonly path: string
	readonly start: number
	readonly end: number
	readonly reason: string
}

export interface Quality {
	/** The lowest of the three scores. */
	readonly score: number
	/** `coverage`, `fidelity` and `diversity`, with the evidence that a reviewer needs. */
	readonly checks: readonly Check[]
	readonly uncovered: readonly string[]
}

/**
 * Computes the quality of the answers. Pure; the quotes have been compared with the files before.
 *
 * - `coverage`: covered questions / all questions. The evidence gives the quotes and files of each uncovered question and its
 *   words that occur nowhere, so that a reviewer can add a step that searches with other words.
 * - `fidelity`: 1 when there are quotes and every one equals the source bytes, else 0: a quote is exact or wrong. The evidence
 *   has the count and each false quote.
 * - `diversity`: files cited / the most that could have been cited, which is the number of files with a quotable sentence or the
 *   number of quotes, whichever is less. It shows whether the quotes come from few files although more were available, not
 *   whether the corpus itself is diverse.
 *
 * @param minScore - score from which coverage and diversity pass
 */
export function assess(answers: readonly Answer[], falseQuotes: readonly FalseQuote[], minScore: number): Quality {
	const checks = [checkCoverage(answers, minScore), checkFidelity(answers, falseQuotes), checkDiversity(answers, minScore)]
	return {
		score: Math.min(...checks.map((check) => check.score)),
		checks,
		uncovered: answers.filter((answer) => !isCovered(answer)).map((answer) => answer.question),
	}
}

export function isCovered({ quotes }: Pick<Answer, 'quotes'>): boolean {
	return quotes.length >= QUOTES_TO_COVER && collectFiles(quotes).size >= FILES_TO_COVER
}

function checkCoverage(answers: readonly Answer[], minScore: number): Check {
	const uncovered = answers.filter((answer) => !isCovered(answer))
	const score = computeShare(answers.length - uncovered.length, answers.length)
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
				files: collectFiles(quotes).size,
				unknown_terms,
			})),
		},
	}
}

function checkFidelity(answers: readonly Answer[], falseQuotes: readonly FalseQuote[]): Check {
	const quotes = answers.reduce((sum, answer) => sum + answer.quotes.length, 0)
	const exact = quotes > 0 && falseQuotes.length === 0
	return {
		name: 'fidelity',
		score: exact ? 1 : 0,
		passed: exact,
		evidence: { quotes, equal: quotes - falseQuotes.length, false_quotes: falseQuotes.map((quote) => ({ ...quote })) },
	}
}

function checkDiversity(answers: readonly Answer[], minScore: number): Check {
	const quotes = answers.flatMap((answer) => answer.quotes)
	const cited = collectFiles(quotes).size
	const places = new Set(quotes.map(({ path, start }) => `${path}:${start}`)).size
	const quotable = new Set(answers.flatMap((answer) => answer.quotable_files)).size
	const possible = Math.min(places, quotable)
	const score = computeShare(cited, possible)
	return { name: 'diversity', score, passed: score >= minScore, evidence: { files_cited: cited, best_possible: possible } }
}

function collectFiles(quotes: Answer['quotes']): Set<string> {
	return new Set(quotes.map((quote) => quote.path))
}

/** Divides a part by its whole: 0 for an empty whole, and 1 at most. */
function computeShare(part: number, whole: number): number {
	return whole === 0 ? 0 : Math.min(1, part / whole)
}
