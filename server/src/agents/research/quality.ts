import type { Check } from '@planstream/shared'
import { type Answer, keepWithin } from './results.js'

/** Minimum number of quotes for a covered question ... */
const QUOTES_TO_COVER = 2
/** ... and of the files they come from. */
const FILES_TO_COVER = 2

/** Bytes of evidence about false quotes; their number is whole. */
const NAMED_BYTES = 8192

/** A quote that differs from its file, and why. */
export interface FalseQuote {
	readonly path: string
	readonly start: number
	readonly end: number
	readonly reason: string
}

export interface Quality {
	/** The lowest of the four scores. */
	readonly score: number
	/** `coverage`, `fidelity`, `diversity` and `words`, with the evidence that a reviewer needs. */
	readonly checks: readonly Check[]
	readonly uncovered: readonly string[]
}

/**
 * Computes the quality of the answers. Pure; the quotes have been compared with the files before.
 *
 * - `coverage`: (covered questions + half of the partly covered ones) / all questions. A question is covered by two quotes from two
 *   files, and partly by any quote. The evidence gives the quotes and files of each question that is not covered and its words that
 *   occur nowhere, so that a reviewer can add a step that searches with other words.
 * - `fidelity`: 1 when there are quotes and every one equals the source bytes, else 0: a quote is exact or wrong. The evidence
 *   has the count and each false quote.
 * - `diversity`: files cited / the most that could have been cited, which is the number of files with a quotable sentence or the
 *   number of quotes, whichever is less. It shows whether the quotes come from few files although more were available, not
 *   whether the corpus itself is diverse.
 * - `words`: the share of the words of a question that a quote holds, on average over the quotes of each question that has some. It
 *   keeps the score of sentences that share half of the words with their question from being 1; whether a sentence is an answer, no
 *   check knows.
 *
 * @param minScore - score from which all but fidelity pass
 */
export function assess(answers: readonly Answer[], falseQuotes: readonly FalseQuote[], minScore: number): Quality {
	const checks = [
		checkCoverage(answers, minScore),
		checkFidelity(answers, falseQuotes),
		checkDiversity(answers, minScore),
		checkWords(answers, minScore),
	]
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
	const partly = uncovered.filter(({ quotes }) => quotes.length > 0).length
	const score = computeShare(answers.length - uncovered.length + partly / 2, answers.length)
	return {
		name: 'coverage',
		score,
		passed: score >= minScore,
		evidence: {
			questions: answers.length,
			covered: answers.length - uncovered.length,
			partly,
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
		evidence: {
			quotes,
			equal: quotes - falseQuotes.length,
			false_quotes: keepWithin(falseQuotes, NAMED_BYTES).map((quote) => ({ ...quote })),
		},
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

function checkWords(answers: readonly Answer[], minScore: number): Check {
	const shares = answers.flatMap(({ terms, quotes }) => {
		const held = quotes.reduce((sum, quote) => sum + computeShare(quote.terms.length, terms.length), 0)
		return quotes.length === 0 ? [] : [held / quotes.length]
	})
	const score = computeShare(
		shares.reduce((sum, share) => sum + share, 0),
		shares.length,
	)
	return { name: 'words', score, passed: score >= minScore, evidence: { questions: shares.length } }
}

function collectFiles(quotes: Answer['quotes']): Set<string> {
	return new Set(quotes.map((quote) => quote.path))
}

/** Divides a part by its whole: 0 for an empty whole, and 1 at most. */
function computeShare(part: number, whole: number): number {
	return whole === 0 ? 0 : Math.min(1, part / whole)
}
