import * as z from 'zod'
import type { Agent } from '../../plans/agent.js'
import { defineAgent } from '../define-agent.js'
import { createPacer, createProgress } from './corpus.js'
import { formatSummary, SKIP_REASONS } from './inventory.js'
import {
	type Answer,
	type CrosscheckResult,
	crosscheckResult,
	findResults,
	getResult,
	type InventoryResult,
	inventoryResult,
	type Quote,
	reportResult,
} from './results.js'

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

/**
 * Formats the report as sections that join to the whole document: title and coverage, one per question, sources, checks, and the
 * documents if there is an inventory.
 */
export function formatSections(title: string, checked: CrosscheckResult, inventory?: InventoryResult): string[] {
	const places = collectPlaces(checked.answers)
	return [
		`# ${toOneLine(title)}\n\n${formatCoverage(checked)}`,
		...checked.answers.map((answer, at) => formatQuestion(at + 1, answer, places)),
		formatSources(places),
		formatChecks(checked, places),
		...(inventory === undefined ? [] : [formatDocuments(inventory)]),
	]
}

/** Says how far the questions are covered, and what that means: no check knows whether a sentence is an answer. */
function formatCoverage({ answers, uncovered }: CrosscheckResult): string {
	const covered = answers.length - uncovered.length
	const count = `Covered: ${covered} of ${answers.length} ${answers.length === 1 ? 'question' : 'questions'}, by quotes from at least two documents.`
	const gaps = uncovered.map((question) => `- ${toOneLine(question)}\n`).join('')
	const rest = gaps === '' ? '' : `\nNot fully covered:\n\n${gaps}`
	return `${count} Quotes are chosen by the words of a question; whether they answer it is for you to read.\n${rest}`
}

function formatQuestion(number: number, answer: CheckedAnswer, places: readonly Quote[]): string {
	const lines = answer.quotes.map((quote) => {
		const citation = places.findIndex((place) => isSamePlace(place, quote)) + 1
		return `\n> ${formatQuote(quote.text)} [${citation}]\n`
	})
	const gap = answer.covered ? '' : `\n${formatGap(answer)}\n`
	return `\n## ${number}. ${toOneLine(answer.question)}\n${gap}${lines.join('')}`
}

function formatGap({ quotes, unknown_terms }: CheckedAnswer): string {
	const unknown = unknown_terms.length === 0 ? '' : ` Words that occur nowhere: ${unknown_terms.join(', ')}.`
	const count = quotes.length === 1 ? 'one quote' : `${quotes.length} quotes`
	const gap =
		quotes.length === 0
			? 'Not covered: no sentence has enough words of this question.'
			: `Partly covered: ${count} from one document.`
	return gap + unknown
}

function formatSources(places: readonly Quote[]): string {
	const lines = places.map(({ path, line, start, end }, at) => {
		const where = line === undefined ? '' : ` line ${line},`
		return `- [${at + 1}] \`${path}\`,${where} bytes ${start} to ${end}\n`
	})
	return `\n## Sources\n\n${lines.length === 0 ? 'None.\n' : lines.join('')}`
}

function formatChecks({ scores, left_out = 0 }: CrosscheckResult, places: readonly Quote[]): string {
	const { fidelity } = scores
	const exact = fidelity === 1 ? 'Each quote equals the bytes of its document.' : 'Not every quote equals its document.'
	const cited = new Set(places.map(({ path }) => path)).size
	const more = left_out === 0 ? '' : `- ${left_out} further quotes have no room here; ask fewer questions at a time.\n`
	const quotes = places.length === 1 ? '1 quote is' : `${places.length} quotes are`
	return `\n## Checks\n\n- ${exact}\n- ${quotes} from ${cited} ${cited === 1 ? 'document' : 'documents'}.\n${more}`
}

/** Says what was read, and what was not and why. */
function formatDocuments({ documents, total_bytes, skipped }: InventoryResult): string {
	const named = skipped.first.map(({ path, reason }) => `- \`${path}\` is ${SKIP_REASONS[reason]}\n`).join('')
	return `\n## Documents\n\n${formatSummary(documents, { total_bytes, skipped })}${named === '' ? '' : `\n${named}`}`
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
 * section and stores it as the artifact `report.md`. A `corpus.inventory` among its dependencies adds what was read and what was not.
 */
export function reportAgent(): Agent {
	return defineAgent({
		type: 'corpus.report',
		input,
		result: reportResult,
		async execute(_step, context) {
			context.signal.throwIfAborted()
			const checked = getResult(crosscheckResult, context.inputs)
			const [inventory] = findResults(inventoryResult, context.inputs)
			const sections = formatSections(context.plan.query, checked, inventory)
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
