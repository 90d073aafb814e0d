import * as z from 'zod'
import type { Agent, StepContext } from '../../plans/agent.js'
import { agentError } from '../agent-error.js'
import { defineAgent } from '../define-agent.js'
import { chooseQuotes } from './choose-quotes.js'
import { type Corpus, type CorpusPolicy, type Document, openCorpus, readDocument } from './corpus.js'
import { decodeText } from './inventory.js'
import { pacer } from './pace.js'
import { type Answer, extractResult, type Quote, type RetrieveResult, resultsOf, retrieveResult } from './results.js'
import { splitSentences } from './sentences.js'
import { TextSearch } from './text-search.js'
import { unitProgress } from './unit-progress.js'

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
			const retrievals = resultsOf(retrieveResult, context.inputs)
			const total = retrievals.reduce((sum, { passages }) => sum + passages.length, 0)
			const progress = unitProgress(context, 'passages')
			let done = 0
			const answers: Answer[] = []
			for (const retrieval of retrievals) {
				const corpus = await openCorpus(retrieval.corpus, policy)
				const sentences = await readSentences(corpus, retrieval, context, () => progress(++done, total))
				answers.push(answer(retrieval, sentences, max_quotes))
			}
			context.signal.throwIfAborted()
			for (const { question, quotes } of answers) context.output(listing(question, quotes), { channel: 'text' })
			const data = { kind: 'corpus.extract', corpus: retrievals[0]?.corpus ?? null, answers } as const
			return { data }
		},
	})
}

type SourceSentence = Omit<Quote, 'terms'>

async function readSentences(
	corpus: Corpus,
	{ passages }: RetrieveResult,
	{ signal }: StepContext,
	onPassage: () => void,
): Promise<SourceSentence[]> {
	const documents = new Map<string, Document>()
	const sentences: SourceSentence[] = []
	const pace = pacer(signal)
	for (const { path, sha256, start, end, code } of passages) {
		signal.throwIfAborted()
		const document = documents.get(path) ?? (await readDocument(corpus, path, signal))
		documents.set(path, document)
		if (document.sha256 !== sha256) {
			throw agentError('corpus_changed', `${path} changed since it was indexed. Retry the inventory step with its dependents.`)
		}
		const text = code ? null : decodeText(document.bytes.subarray(start, end))
		if (text !== null) {
			for (const sentence of splitSentences({ text, start })) {
				sentences.push({ path, sha256, ...sentence })
				await pace()
			}
		}
		onPassage()
	}
	return sentences
}

function answer(retrieval: RetrieveResult, sentences: readonly SourceSentence[], maxQuotes: number): Answer {
	const { question, terms, unknown_terms } = retrieval
	using search = new TextSearch(sentences.map(({ text }) => text))
	const candidates = search.search(terms).flatMap(({ at, terms: found }) => {
		const sentence = sentences[at]
		return sentence === undefined ? [] : [{ ...sentence, terms: [...found] }]
	})
	const { quotes, quotableFiles } = chooseQuotes(candidates, terms.length, maxQuotes)
	return { question, terms, unknown_terms, quotable_files: [...quotableFiles], quotes: [...quotes] }
}

function listing(question: string, quotes: readonly Quote[]): string {
	const lines = quotes.map(({ path, start, end, text }) => `- ${text.replace(/\s+/g, ' ')} (${path}:${start}-${end})\n`)
	return `${question}\n${lines.length === 0 ? '- no sentence of the corpus says enough about this\n' : lines.join('')}`
}
