import * as z from 'zod'
import type { Agent } from '../../plans/agent.js'
import { AgentError, defineAgent } from '../define-agent.js'
import { type Corpus, type CorpusPolicy, createProgress, openCorpus, readDocument } from './corpus.js'
import { assess, type FalseQuote, isCovered } from './quality.js'
import { mergeAnswers } from './report.js'
import {
	type Answer,
	type CrosscheckResult,
	crosscheckResult,
	extractResult,
	findResults,
	getQuestions,
	keepWithin,
	type Quote,
} from './results.js'

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
				...fitAnswers(answers),
			}
			return { data, quality_score: quality.score, checks: quality.checks }
		},
	})
}

/** Bytes of the quotes of all answers; a result has at most 60 KiB. */
const MAX_QUOTE_BYTES = 32_768
const MAX_FILE_NAME_BYTES = 8192

/** Makes answers small enough for a result: the first quote of each, then the second of each, until there is no room. */
function fitAnswers(answers: readonly Answer[]): Pick<CrosscheckResult, 'answers' | 'left_out'> {
	const rounds = Math.max(0, ...answers.map(({ quotes }) => quotes.length))
	const ranked = Array.from({ length: rounds }, (_, round) =>
		answers.flatMap(({ quotes }) => quotes.slice(round, round + 1)),
	).flat()
	const kept = new Set(keepWithin(ranked, MAX_QUOTE_BYTES))
	const fitted = answers.map((answer) => ({
		...answer,
		quotable_files: keepWithin(answer.quotable_files, MAX_FILE_NAME_BYTES / answers.length),
		quotes: answer.quotes.filter((quote) => kept.has(quote)),
		covered: isCovered(answer),
	}))
	return { answers: fitted, left_out: ranked.length - kept.size }
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
