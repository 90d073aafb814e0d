import * as z from 'zod'
import type { Agent, StepContext } from '../../plans/agent.js'
import { agentError, defineAgent } from '../define-agent.js'
import { type Corpus, type CorpusPolicy, createPacer, createProgress, type Document, openCorpus, readDocument } from './corpus.js'
import { decodeText } from './inventory.js'
import { chooseQuotes, scoreSentence, type TermWeights } from './ranking.js'
import {
	type Answer,
	extractResult,
	findResults,
	keepWithin,
	type Quote,
	type RetrieveResult,
	retrieveResult,
} from './results.js'
import { TextSearch } from './search.js'

/** A quotable piece of a passage, with its position in the file. */
export interface Sentence {
	readonly start: number
	readonly end: number
	/** Exactly the bytes from `start` to `end`. */
	readonly text: string
}

/** Shorter pieces mean nothing by themselves. */
const MIN_CHARACTERS = 24
/** Longer ones are too long to quote in a report. */
const MAX_CHARACTERS = 700

/** A line that begins a list item, a table row or a quotation is not the continuation of the line before it. */
const OWN_LINE = /\r?\n(?=[ \t]*(?:[-*+•|>]|\d{1,3}[.)])[ \t])/g
const BREAK = /[\r\n]/g
/** White space, list markers and the end of preceding bold text: not part of the quote. */
const LEADING = /^(?:\s|[-*+•>](?=\s)|\*\*(?=\s)|\d{1,3}[.)](?=\s))+/u

const segmenter = new Intl.Segmenter('en', { granularity: 'sentence' })

/**
 * Splits a passage into sentences by Unicode's rules (UAX 29). Wrapped lines are joined only to find the boundaries: a sentence
 * has the exact text of the file, line breaks included.
 *
 * @param passage - text with the byte offset of its first character
 */
export function* splitSentences(passage: { readonly text: string; readonly start: number }): Generator<Sentence> {
	let offset = passage.start
	for (const item of splitItems(passage.text)) {
		for (const piece of splitPieces(item)) {
			const lead = LEADING.exec(piece)?.[0] ?? ''
			const text = piece.slice(lead.length).trimEnd()
			const start = offset + Buffer.byteLength(lead)
			if (text.length >= MIN_CHARACTERS && text.length <= MAX_CHARACTERS) {
				yield { start, end: start + Buffer.byteLength(text), text }
			}
			offset += Buffer.byteLength(piece)
		}
	}
}

/** A link, or code between backticks, that the text leaves open. */
const OPEN_LINK = /\]\([^)\s]*$/
const ABBREVIATION = /\b(?:i\.e|e\.g|cf|vs)\.\s*$/i

/** Splits an item into sentences; a full stop within a link or code, as in `(../file.md)`, or an abbreviation ends none. */
function* splitPieces(item: string): Generator<string> {
	let piece = ''
	for (const { segment, index } of segmenter.segment(item.replace(BREAK, ' '))) {
		piece += item.slice(index, index + segment.length)
		const open = OPEN_LINK.test(piece) || ABBREVIATION.test(piece) || piece.split('`').length % 2 === 0
		if (open && piece.length < MAX_CHARACTERS) continue
		yield piece
		piece = ''
	}
	if (piece !== '') yield piece
}

function splitItems(text: string): string[] {
	const items: string[] = []
	let from = 0
	for (const { index } of text.matchAll(OWN_LINE)) {
		items.push(text.slice(from, index))
		from = index
	}
	items.push(text.slice(from))
	return items
}

const input = z.strictObject({
	max_quotes: z.int().min(1).max(24).default(6).describe('quotes for each question'),
})

/** `corpus.extract`: chooses sentences to quote from the passages of each `corpus.retrieve` it depends on. */
export function extractAgent(policy: CorpusPolicy): Agent {
	return defineAgent({
		type: 'corpus.extract',
		input,
		result: extractResult,
		async execute({ input: { max_quotes } }, context) {
			context.signal.throwIfAborted()
			const retrievals = findResults(retrieveResult, context.inputs)
			const total = retrievals.reduce((sum, { passages }) => sum + passages.length, 0)
			const progress = createProgress(context, 'passages')
			let done = 0
			const answers: Answer[] = []
			for (const retrieval of retrievals) {
				const corpus = await openCorpus(retrieval.corpus, policy, context.plan.tenant)
				const documents = new Map<string, Document>()
				const sentences = await readSentences(corpus, retrieval, documents, context, () => progress(++done, total))
				const answer = await composeAnswer(retrieval, sentences, max_quotes, createPacer(context.signal))
				const quotes = answer.quotes.map((quote) => ({ ...quote, line: findLine(documents.get(quote.path), quote.start) }))
				answers.push({ ...answer, quotes: keepWithin(quotes, MAX_ANSWERS_BYTES / retrievals.length) })
			}
			context.signal.throwIfAborted()
			for (const { question, quotes } of answers) context.output(formatQuotes(question, quotes), { channel: 'text' })
			const data = { kind: 'corpus.extract', corpus: retrievals[0]?.corpus ?? null, answers } as const
			return { data }
		},
	})
}

/** Bytes of the quotes of all answers, and of the names of quotable files; a result has at most 60 KiB. */
const MAX_ANSWERS_BYTES = 32_768
const MAX_FILE_NAME_BYTES = 8192

/** The line of a document where a byte stands, from 1. */
function findLine(document: Document | undefined, offset: number): number {
	const before = document?.bytes.subarray(0, offset) ?? Buffer.alloc(0)
	let line = 1
	for (let at = before.indexOf(10); at >= 0; at = before.indexOf(10, at + 1)) line++
	return line
}

type SourceSentence = Omit<Quote, 'terms'> & { readonly heading: string }

async function readSentences(
	corpus: Corpus,
	{ passages }: RetrieveResult,
	documents: Map<string, Document>,
	{ signal }: StepContext,
	onPassage: () => void,
): Promise<SourceSentence[]> {
	const sentences: SourceSentence[] = []
	const pace = createPacer(signal)
	for (const { path, sha256, start, end, heading, code } of passages) {
		signal.throwIfAborted()
		const document = documents.get(path) ?? (await readDocument(corpus, path, signal))
		documents.set(path, document)
		if (document.sha256 !== sha256) {
			throw agentError('corpus_changed', `${path} changed since it was indexed. Retry the inventory step with its dependents.`)
		}
		const text = code ? null : decodeText(document.bytes.subarray(start, end))
		if (text !== null) {
			for (const sentence of splitSentences({ text, start })) {
				sentences.push({ path, sha256, heading, ...sentence })
				await pace()
			}
		}
		onPassage()
	}
	return sentences
}

async function composeAnswer(
	{ question, terms, unknown_terms, weights }: RetrieveResult,
	sentences: readonly SourceSentence[],
	maxQuotes: number,
	pace: () => Promise<void>,
): Promise<Answer> {
	const inSentences = await findTerms(
		sentences.map(({ text }) => text),
		terms,
		pace,
	)
	const surroundings = [...new Set(sentences.flatMap(({ heading, path }) => [heading, path]))]
	const around = await findTerms(surroundings, terms, pace)
	const findAround = (text: string) => around.get(surroundings.indexOf(text)) ?? []
	const weightOf: TermWeights = new Map(terms.map((term, at) => [term, weights?.[at] ?? 1]))
	const candidates = [...inSentences].flatMap(([at, found]) => {
		const sentence = sentences[at]
		if (sentence === undefined) return []
		const { heading, ...quote } = { ...sentence, terms: [...found] }
		const candidate = { ...quote, headingTerms: findAround(heading), pathTerms: findAround(quote.path) }
		return [{ path: quote.path, text: quote.text, start: quote.start, quote, score: scoreSentence(candidate, weightOf) }]
	})
	const { quotes, quotableFiles } = chooseQuotes(candidates, maxQuotes)
	const quotable_files = keepWithin(quotableFiles, MAX_FILE_NAME_BYTES)
	return { question, terms, unknown_terms, quotable_files, quotes: quotes.map(({ quote }) => quote) }
}

/** Finds which of the texts hold which terms, by index; those with the most and rarest ones first. */
async function findTerms(
	texts: readonly string[],
	terms: readonly string[],
	pace: () => Promise<void>,
): Promise<Map<number, readonly string[]>> {
	using search = new TextSearch()
	for (const text of texts) {
		search.add(text)
		await pace()
	}
	return new Map(search.search(terms).map(({ at, terms: found }) => [at, found]))
}

function formatQuotes(question: string, quotes: readonly Quote[]): string {
	const lines = quotes.map(({ path, start, end, text }) => `- ${text.replace(/\s+/g, ' ')} (${path}:${start}-${end})\n`)
	return `${question}\n${lines.length === 0 ? '- no sentence in the corpus is relevant enough\n' : lines.join('')}`
}
