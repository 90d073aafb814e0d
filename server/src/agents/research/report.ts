import * as z from 'zod'
import type { Agent } from '../../plans/agent.js'
import { defineAgent } from '../define-agent.js'
import { createPacer, createProgress } from './corpus.js'
import { type Answer, type CrosscheckResult, crosscheckResult, getResult, type Quote, reportResult } from './results.js'

/**
 * Merges answers to one per question: first the plan's questions in order, including unanswered ones, then the others. Quotes
 * that several steps found for one question are kept once.
 */
export function mergeAnswers(questions: readonly string[], answers: readonly Answer[]): Answer[] {
	const merged = new Map<string, Answer>(questions.map((question) => [question, createUnanswered(question)]))
	for (const found of answers) {
		const known = merged.get(found.question) ?? createUnanswered(found.question)
		merged.set(found.question, {
			question: found.question,
			terms: unite(known.terms, found.terms),
			unknown_terms: unite(known.unknown_terms, found.unknown_terms),
			quotable_files: unite(known.quotable_files, found.quotable_files),
			quotes: [...known.quotes, ...found.quotes.filter((quote) => !known.quotes.some((other) => isSamePlace(quote, other)))],
		})
	}
	return [...merged.values()]
}

type Place = { readonly path: string; readonly start: number; readonly end: number }

function isSamePlace(one: Place, other: Place): boolean {
	return one.path === other.path && one.start === other.start && one.end === other.end
}

function createUnanswered(question: string): Answer {
	return { question, terms: [], unknown_terms: [], quotable_files: [], quotes: [] }
}

function unite(one: readonly string[], other: readonly string[]): string[] {
	return [...new Set([...one, ...other])]
}

type CheckedAnswer = CrosscheckResult['answers'][number]

/** Collects each quoted place once, in order of first use; its citation number is its index plus one. */
function collectPlaces(answers: readonly CheckedAnswer[]): Quote[] {
	const places: Quote[] = []
	for (const quote of answers.flatMap((answer) => answer.quotes)) {
		if (!places.some((known) => isSamePlace(known, quote))) places.push(quote)
	}
	return places
}

/** Formats the report as sections that join to the whole document: title, one per question, sources, quality. */
export function formatSections(title: string, checked: CrosscheckResult): string[] {
	const places = collectPlaces(checked.answers)
	return [
		`# ${toOneLine(title)}\n`,
		...checked.answers.map((answer, at) => formatQuestion(at + 1, answer, places)),
		formatSources(places),
		formatQuality(checked),
	]
}

function formatQuestion(
	number: number,
	{ question, quotes, covered, unknown_terms }: CheckedAnswer,
	places: readonly Quote[],
): string {
	const lines = quotes.map((quote) => {
		const citation = places.findIndex((place) => isSamePlace(place, quote)) + 1
		return `\n> ${formatQuote(quote.text)} [${citation}]\n`
	})
	const unknown = unknown_terms.length === 0 ? '' : ` Words that occur nowhere: ${unknown_terms.join(', ')}.`
	const gap = covered ? '' : `\nThe corpus does not cover this question.${unknown}\n`
	return `\n## ${number}. ${toOneLine(question)}\n${gap}${lines.join('')}`
}

function formatSources(places: readonly Quote[]): string {
	const lines = places.map(
		({ path, start, end, sha256 }, at) =>
			`- [${at + 1}] \`${path}\`, bytes ${start} to ${end}, sha256 \`${sha256.slice(0, 16)}\`\n`,
	)
	return `\n## Sources\n\n${lines.length === 0 ? 'None.\n' : lines.join('')}`
}

function formatQuality({ scores, quality_score, uncovered }: CrosscheckResult): string {
	const rows = Object.entries({ ...scores, 'lowest of these': quality_score }).map(
		([name, score]) => `| ${name} | ${score.toFixed(2)} |\n`,
	)
	const gaps = uncovered.map((question) => `- ${toOneLine(question)}\n`).join('')
	return `\n## Quality\n\n| check | score |\n|---|---|\n${rows.join('')}${gaps === '' ? '' : `\nNot covered:\n\n${gaps}`}`
}

/** Formats a quote as one block, with HTML escaped outside of code. */
function formatQuote(text: string): string {
	const pieces = text.split(/(`+[^`]*`+)/)
	const safe = pieces.map((piece, at) => (at % 2 === 1 ? piece : piece.replaceAll('<', '&lt;'))).join('')
	return safe.replace(/\r?\n[ \t]*/g, '\n> ')
}

function toOneLine(text: string): string {
	return text.replace(/\s+/g, ' ').trim().replaceAll('<', '&lt;')
}

const input = z.strictObject({})
const REPORT_NAME = 'report.md'

/**
 * `corpus.report`: writes the answers of the `corpus.crosscheck` it depends on as Markdown with citations, streams it section by
 * section and stores it as the artifact `report.md`.
 */
export function reportAgent(): Agent {
	return defineAgent({
		type: 'corpus.report',
		input,
		result: reportResult,
		async execute(_step, context) {
			context.signal.throwIfAborted()
			const checked = getResult(crosscheckResult, context.inputs)
			const sections = formatSections(context.plan.query, checked)
			const progress = createProgress(context, 'sections')
			const pace = createPacer(context.signal)
			for (const [at, section] of sections.entries()) {
				await pace()
				context.output(section, { channel: 'text' })
				progress(at + 1, sections.length)
			}
			context.signal.throwIfAborted()
			const { artifact_id, name, bytes } = await context.artifact(REPORT_NAME, sections.join(''), 'text/markdown')
			const places = collectPlaces(checked.answers)
			const data = {
				kind: 'corpus.report',
				artifact_id,
				name,
				bytes,
				questions: checked.answers.length,
				covered: checked.answers.length - checked.uncovered.length,
				quotes: places.length,
				sources: new Set(places.map((place) => place.path)).size,
				quality_score: checked.quality_score,
				uncovered: checked.uncovered,
			} as const
			return { data }
		},
	})
}
