import * as z from 'zod'
import type { Agent } from '../../plans/agent.js'
import { AgentError, defineAgent } from '../define-agent.js'
import { type Corpus, type CorpusPolicy, createProgress, openCorpus, readDocument } from './corpus.js'
import { assess, type FalseQuote, isCovered } from './quality.js'
import { mergeAnswers } from './report.js'
import { type CrosscheckResult, crosscheckResult, extractResult, findResults, getQuestions, type Quote } from './results.js'

const input = z.strictObject({
	min_score: z.number().min(0).max(1).default(0.6).describe("score from which a check passes; the step's gate decides"),
})

/**
 * `corpus.crosscheck`: reads the files again, compares every quote of the `corpus.extract` steps it depends on with
 * the bytes it claims to be, and computes the quality; see {@link assess}.
 */
export function crosscheckAgent(policy: CorpusPolicy): Agent {
	return defineAgent({
		type: 'corpus.crosscheck',
		input,
		result: crosscheckResult,
		async execute({ input: { min_score } }, context) {
			context.signal.throwIfAborted()
			const extracts = findResults(extractResult, context.inputs)
			const given = extracts[0]?.corpus ?? null
			const answers = mergeAnswers(
				getQuestions(context.plan),
				extracts.flatMap((extract) => extract.answers),
			)
			const quotes = answers.flatMap((answer) => answer.quotes)
			const open = () => openCorpus(given, policy, context.plan.tenant)
			const falseQuotes = await findFalseQuotes(open, quotes, context.signal, createProgress(context, 'quotes'))
			context.signal.throwIfAborted()
			const quality = assess(answers, falseQuotes, min_score)
			context.output(formatUncovered(quality.uncovered), { channel: 'log' })
			const data: CrosscheckResult = {
				kind: 'corpus.crosscheck',
				corpus: given,
				quality_score: quality.score,
				scores: Object.fromEntries(quality.checks.map(({ name, score }) => [name, score])),
				uncovered: [...quality.uncovered],
				answers: answers.map((answer) => ({ ...answer, covered: isCovered(answer) })),
			}
			return { data, quality_score: quality.score, checks: quality.checks }
		},
	})
}

async function findFalseQuotes(
	open: () => Promise<Corpus>,
	quotes: readonly Quote[],
	signal: AbortSignal,
	progress: (current: number, total: number) => void,
): Promise<FalseQuote[]> {
	if (quotes.length === 0) {
		progress(0, 0)
		return []
	}
	const corpus = await open()
	const contents = new Map<string, Buffer | AgentError>()
	const found: FalseQuote[] = []
	for (const [at, quote] of quotes.entries()) {
		signal.throwIfAborted()
		const content = contents.get(quote.path) ?? (await readSource(corpus, quote.path, signal))
		contents.set(quote.path, content)
		const reason = checkQuote(quote, content)
		if (reason !== null) found.push({ path: quote.path, start: quote.start, end: quote.end, reason })
		progress(at + 1, quotes.length)
	}
	return found
}

/** A file that is gone or may not be read makes its quotes false; that is a finding, not a failure. */
async function readSource(corpus: Corpus, path: string, signal: AbortSignal): Promise<Buffer | AgentError> {
	try {
		return (await readDocument(corpus, path, signal)).bytes
	} catch (error) {
		if (error instanceof AgentError) return error
		throw error
	}
}

function checkQuote({ start, end, text }: Quote, content: Buffer | AgentError): string | null {
	if (content instanceof AgentError) return content.message
	const source = content.subarray(start, end)
	return source.equals(Buffer.from(text, 'utf8')) ? null : 'The file has different bytes at this position.'
}

function formatUncovered(uncovered: readonly string[]): string {
	if (uncovered.length === 0) return 'Every question is covered.\n'
	return `Not covered:\n${uncovered.map((question) => `- ${question}\n`).join('')}`
}
