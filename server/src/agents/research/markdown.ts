import { isSamePlace } from './merge-answers.js'
import type { CrosscheckResult, Quote } from './results.js'

type CheckedAnswer = CrosscheckResult['answers'][number]

/** Each quoted place once, in the order of first use; its number is its index plus one. */
export function citedPlaces(answers: readonly CheckedAnswer[]): Quote[] {
	const places: Quote[] = []
	for (const quote of answers.flatMap((answer) => answer.quotes)) {
		if (!places.some((known) => isSamePlace(known, quote))) places.push(quote)
	}
	return places
}

/** The report in its sections, which joined are the whole document: head, one a question, sources, quality. */
export function reportSections(title: string, checked: CrosscheckResult): string[] {
	const places = citedPlaces(checked.answers)
	return [
		`# ${oneLine(title)}\n`,
		...checked.answers.map((answer, at) => questionSection(at + 1, answer, places)),
		sourcesSection(places),
		qualitySection(checked),
	]
}

function questionSection(
	number: number,
	{ question, quotes, covered, unknown_terms }: CheckedAnswer,
	places: readonly Quote[],
): string {
	const lines = quotes.map((quote) => {
		const citation = places.findIndex((place) => isSamePlace(place, quote)) + 1
		return `\n> ${quoted(quote.text)} [${citation}]\n`
	})
	const unknown = unknown_terms.length === 0 ? '' : ` Words that occur nowhere: ${unknown_terms.join(', ')}.`
	const gap = covered ? '' : `\nThe corpus does not cover this question.${unknown}\n`
	return `\n## ${number}. ${oneLine(question)}\n${gap}${lines.join('')}`
}

function sourcesSection(places: readonly Quote[]): string {
	const lines = places.map(
		({ path, start, end, sha256 }, at) =>
			`- [${at + 1}] \`${path}\`, bytes ${start} to ${end}, sha256 \`${sha256.slice(0, 16)}\`\n`,
	)
	return `\n## Sources\n\n${lines.length === 0 ? 'None.\n' : lines.join('')}`
}

function qualitySection({ scores, quality_score, uncovered }: CrosscheckResult): string {
	const rows = Object.entries({ ...scores, 'least of these': quality_score }).map(
		([name, score]) => `| ${name} | ${score.toFixed(2)} |\n`,
	)
	const gaps = uncovered.map((question) => `- ${oneLine(question)}\n`).join('')
	return `\n## Quality\n\n| check | score |\n|---|---|\n${rows.join('')}${gaps === '' ? '' : `\nNot covered:\n\n${gaps}`}`
}

/** A quote as it is shown: its lines in one block, and no mark-up of a web page outside of code. */
function quoted(text: string): string {
	const pieces = text.split(/(`+[^`]*`+)/)
	const safe = pieces.map((piece, at) => (at % 2 === 1 ? piece : piece.replaceAll('<', '&lt;'))).join('')
	return safe.replace(/\r?\n[ \t]*/g, '\n> ')
}

function oneLine(text: string): string {
	return text.replace(/\s+/g, ' ').trim().replaceAll('<', '&lt;')
}
