import { type PlanSpec, PlanstreamError, type StepSpec } from '@planstream/shared'

/** Questions and settings of a corpus research. */
export interface ResearchTask {
	/** A folder; `undefined`: the server's default. */
	readonly corpus?: string | undefined
	/** 1 to 64 different questions. */
	readonly questions: readonly string[]
	readonly plan_id?: string | undefined
	/** @defaultValue 4 */
	readonly concurrency?: number | undefined
}

const MAX_QUESTIONS = 64
/** Passages a question is looked for in; many of them are code, which is not quoted. */
const PASSAGES = 48
/** Bytes of all questions: several results name them, and a result has at most 60 KiB. */
const MAX_QUESTION_BYTES = 8192
/** Any quote passes, and a false one or none at all (0) does not: what is not covered is for the report to say. */
const GATE_SCORE = 0.005
/** Reading files may fail temporarily, and the steps are cheap to repeat. */
const RETRY = { max_attempts: 3, initial_ms: 200, factor: 2, max_ms: 5000 } as const

/**
 * Creates the plan of a corpus research: inventory, index, retrieve and extract for each question in parallel, crosscheck,
 * report. A question whose steps fail for good counts as uncovered. The report gives what was found and names the questions that are
 * not covered. The quality gate is at `crosscheck`: the plan fails when nothing was found for any question or a quote is false,
 * since the same corpus would give the same answers again.
 *
 * @throws PlanstreamError `bad_request` without questions, with more than 64 or 8 KiB of them, or with one twice
 * @example
 * ```ts
 * const plan = researchPlan({ corpus: 'docs', questions: ['What does a cursor hold?'] })
 * ```
 */
export function researchPlan({ corpus, questions, plan_id, concurrency = 4 }: ResearchTask): PlanSpec {
	const asked = questions.map((question) => question.trim())
	assertQuestions(asked)
	return {
		...(plan_id === undefined ? {} : { plan_id }),
		query: asked.length === 1 ? `${asked[0]}` : `${asked[0]} (and ${asked.length - 1} more)`,
		research_type: 'corpus',
		input: { ...(corpus === undefined ? {} : { corpus }), questions: asked },
		max_concurrency: concurrency,
		steps: [
			createStep('inventory', 'List the documents', [], {}),
			createStep('index', 'Index the passages', ['inventory'], {}),
			...asked.flatMap((question, at) => createQuestionSteps(question, at + 1)),
			createCrosscheckStep(asked.map((_, at) => `extract_${at + 1}`)),
			createStep('report', 'Write the report', ['inventory', 'crosscheck'], {}),
		],
	}
}

function createQuestionSteps(question: string, number: number): StepSpec[] {
	const retrieve = {
		...createStep('retrieve', `Find passages: ${question}`, ['index'], { question, limit: PASSAGES }),
		step_id: `retrieve_${number}`,
	}
	const extract = {
		...createStep('extract', `Choose quotes: ${question}`, [retrieve.step_id], {}),
		step_id: `extract_${number}`,
	}
	return [
		{ ...retrieve, on_failure: 'continue' },
		{ ...extract, on_failure: 'continue' },
	]
}

function createCrosscheckStep(depends_on: string[]): StepSpec {
	return {
		...createStep('crosscheck', 'Compare the quotes with their sources', depends_on, {}),
		quality: {
			min_score: GATE_SCORE,
			approve_score: GATE_SCORE,
			dimensions: ['coverage', 'fidelity', 'diversity'],
			on_reject: 'fail',
		},
	}
}

type Kind = 'inventory' | 'index' | 'retrieve' | 'extract' | 'crosscheck' | 'report'

function createStep(kind: Kind, name: string, depends_on: string[], input: StepSpec['input']): StepSpec {
	return { step_id: kind, name, action: kind, agent_type: `corpus.${kind}`, input, depends_on, retry: RETRY }
}

function assertQuestions(questions: readonly string[]): void {
	const twice = questions.findIndex((question, at) => questions.indexOf(question) < at)
	const empty = questions.indexOf('')
	const at = Math.max(twice, empty)
	if (questions.length === 0 || questions.length > MAX_QUESTIONS) {
		throw new PlanstreamError(
			'bad_request',
			`${questions.length} questions were given; a research plan takes 1 to ${MAX_QUESTIONS}.`,
			{
				path: 'questions',
			},
		)
	}
	const bytes = questions.reduce((sum, question) => sum + Buffer.byteLength(question), 0)
	if (bytes > MAX_QUESTION_BYTES) {
		const message = `The questions have ${bytes} bytes; a research plan takes ${MAX_QUESTION_BYTES}. Ask them in several plans.`
		throw new PlanstreamError('bad_request', message, { path: 'questions' })
	}
	if (at < 0) return
	const fault = at === empty ? 'is empty' : 'repeats an earlier one'
	throw new PlanstreamError('bad_request', `Question ${at + 1} ${fault}; questions must be non-empty and unique.`, {
		path: `questions[${at}]`,
	})
}
