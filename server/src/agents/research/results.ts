import * as z from 'zod'
import type { StepContext } from '../../plans/agent.js'
import { agentError, parseInput } from '../define-agent.js'

/**
 * Results that each kind of step passes to its dependents. `kind` identifies them whatever the steps are called, so that a plan
 * can be rewired and extended by hand.
 */

const MAX_QUESTIONS = 64
const offset = z.int().min(0)
const text = z.string().max(2000)
const hash = z.string().regex(/^[0-9a-f]{64}$/, 'must be a sha256 in hex')
const path = z.string().min(1).max(4096)

/** A question of a plan. */
export const question = z.string().trim().min(1).max(1000)

/** Part of `plan.input` that the research agents read; they ignore the rest. */
export const researchInput = z.looseObject({
	corpus: z.string().min(1).max(4096).optional().describe("a folder; absent: the server's default"),
	questions: z.array(question).min(1).max(MAX_QUESTIONS).optional().describe("absent: the plan's query"),
})

const corpus = z.string().nullable().describe('the folder as the plan names it; null: the default')

const skipReason = z.enum(['symlink', 'too_large', 'binary', 'not_utf8', 'unreadable', 'other_type', 'hidden'])

export const inventoryResult = z.object({
	kind: z.literal('corpus.inventory'),
	corpus,
	digest: hash,
	documents: offset,
	total_bytes: offset,
	listing: z.object({ artifact_id: z.string(), name: z.string() }).describe('the artifact that lists all documents'),
	files: z.array(z.object({ path, bytes: offset, sha256: hash })).describe('the first of the documents'),
	skipped: z.object({
		count: offset,
		by_reason: z.partialRecord(skipReason, offset),
		first: z.array(z.object({ path, reason: skipReason })).describe('the first that may be documents'),
	}),
})

/** Fields of an inventory that the index needs. */
export const corpusToIndex = inventoryResult.pick({ kind: true, corpus: true, digest: true })

export const indexResult = z.object({
	kind: z.literal('corpus.index'),
	corpus,
	digest: hash,
	files: offset,
	passages: offset,
})

const place = { path, sha256: hash, start: offset, end: offset }

export const retrieveResult = z.object({
	kind: z.literal('corpus.retrieve'),
	corpus,
	question,
	terms: z.array(z.string()),
	unknown_terms: z.array(z.string()).describe('words of the question that occur nowhere in the corpus'),
	weights: z.array(z.number().min(0)).optional().describe('of the words in terms: rare ones tell more'),
	passages: z.array(z.object({ ...place, heading: text, code: z.boolean(), score: z.number() })),
})

/** A sentence with its position: `text` is exactly the bytes from `start` to `end` of the file with this hash. */
export const quote = z.object({
	...place,
	line: z.int().min(1).optional().describe('line of the file where it begins'),
	text,
	terms: z.array(z.string()).describe('words of the question that occur in it'),
})

const answer = z.object({
	question,
	terms: z.array(z.string()),
	unknown_terms: z.array(z.string()),
	quotable_files: z.array(path).describe('files with a quotable sentence'),
	quotes: z.array(quote),
})

export const extractResult = z.object({ kind: z.literal('corpus.extract'), corpus, answers: z.array(answer) })

export const crosscheckResult = z.object({
	kind: z.literal('corpus.crosscheck'),
	corpus,
	quality_score: z.number(),
	scores: z.record(z.string(), z.number()),
	uncovered: z.array(question),
	answers: z.array(answer.extend({ covered: z.boolean() })),
	left_out: offset.optional().describe('quotes that a result has no room for'),
})

export const reportResult = z.object({
	kind: z.literal('corpus.report'),
	artifact_id: z.string(),
	name: z.string(),
	bytes: offset,
	questions: offset,
	covered: offset,
	quotes: offset,
	sources: offset,
	quality_score: z.number(),
	uncovered: z.array(question),
})

export type InventoryResult = z.output<typeof inventoryResult>
export type RetrieveResult = z.output<typeof retrieveResult>
export type Quote = z.output<typeof quote>
export type Answer = z.output<typeof answer>
export type CrosscheckResult = z.output<typeof crosscheckResult>

type Result = z.ZodObject<{ kind: z.ZodLiteral<string> }>

/**
 * Finds the results of one kind among a step's dependencies, in the order of `inputs`. Skipped and failed dependencies (null) and
 * results of other kinds are ignored.
 *
 * @throws AgentError `bad_input` for a result of this kind that does not match its schema
 */
export function findResults<Schema extends Result>(schema: Schema, inputs: StepContext['inputs']): z.output<Schema>[] {
	const { kind } = schema.shape
	return Object.entries(inputs).flatMap(([stepId, result]) =>
		isOfKind(result, kind.value) ? [parseInput(schema, result, `inputs.${stepId}`)] : [],
	)
}

/** Returns the first result of one kind. @throws AgentError `bad_input` when there is none */
export function getResult<Schema extends Result>(schema: Schema, inputs: StepContext['inputs']): z.output<Schema> {
	const [result] = findResults(schema, inputs)
	if (result !== undefined) return result
	const { kind } = schema.shape
	throw agentError('bad_input', `inputs: contains no result of a ${kind.value} step. Add such a step to depends_on.`, {
		path: 'inputs',
	})
}

/** Returns the questions of a plan: `plan.input.questions`, or its query. */
export function getQuestions(plan: StepContext['plan']): string[] {
	const { questions } = parseInput(researchInput, plan.input, 'plan.input')
	return questions ?? [parseInput(question, plan.query.slice(0, 1000), 'plan.query')]
}

function isOfKind(result: unknown, kind: string): boolean {
	return typeof result === 'object' && result !== null && 'kind' in result && result.kind === kind
}

/** Keeps items from the front while their JSON has at most so many bytes: results are small, whatever paths and texts they hold. */
export function keepWithin<Item>(items: readonly Item[], maxBytes: number): Item[] {
	let bytes = 0
	const over = items.findIndex((item) => {
		bytes += Buffer.byteLength(JSON.stringify(item)) + 1
		return bytes > maxBytes
	})
	return items.slice(0, over < 0 ? items.length : over)
}
