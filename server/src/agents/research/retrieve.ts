import * as z from 'zod'
import type { Agent } from '../../plans/agent.js'
import { defineAgent } from '../define-agent.js'
import { type CorpusPolicy, createPacer, createProgress, openCorpus } from './corpus.js'
import type { CorpusIndex, IndexStore } from './index-store.js'
import { weighTerm } from './ranking.js'
import { getQuestions, getResult, indexResult, keepWithin, question, type RetrieveResult, retrieveResult } from './results.js'
import { extractTerms, removeOtherForms } from './search.js'

const input = z.strictObject({
	question: question.optional().describe("absent: the plan's first question"),
	search: question.optional().describe('other search words for the same question, from someone who knows the corpus'),
	limit: z.int().min(1).max(100).default(16).describe('passages to keep'),
})

/** Bytes of the places of passages; a result has at most 60 KiB. */
const MAX_PASSAGES_BYTES = 49_152

/** `corpus.retrieve`: finds the passages that match a question best, by BM25, in the `corpus.index` it depends on. */
export function retrieveAgent(policy: CorpusPolicy, store: IndexStore): Agent {
	return defineAgent({
		type: 'corpus.retrieve',
		input,
		result: retrieveResult,
		async execute({ input: { question: own, search, limit } }, context) {
			context.signal.throwIfAborted()
			const asked = own ?? getQuestions(context.plan)[0] ?? context.plan.query
			const { corpus: given, digest } = getResult(indexResult, context.inputs)
			const corpus = await openCorpus(given, policy, context.plan.tenant)
			using index = await store.of(context.plan.tenant).open(corpus, digest, context.signal)
			const terms = removeOtherForms(extractTerms(search ?? asked))
			const holders = await countHolders(index, terms, context.signal)
			const unknown_terms = terms.filter((_, at) => holders[at] === 0)
			const weights = holders.map((count) => weighTerm(count, index.passages))
			const passages = keepWithin(index.search(terms, limit), MAX_PASSAGES_BYTES)
			context.signal.throwIfAborted()
			createProgress(context, 'passages')(passages.length, passages.length)
			const data: RetrieveResult = {
				kind: 'corpus.retrieve',
				corpus: given,
				question: asked,
				terms,
				unknown_terms,
				weights,
				passages,
			}
			return { data }
		},
	})
}

async function countHolders(index: CorpusIndex, terms: readonly string[], signal: AbortSignal): Promise<number[]> {
	const pace = createPacer(signal)
	const counts: number[] = []
	for (const term of terms) {
		await pace()
		counts.push(index.count(term))
	}
	return counts
}
