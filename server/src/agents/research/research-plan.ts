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
const MIN_SCORE = 0.6
/** Reading files may fail temporarily, and the steps are cheap to repeat. */
const RETRY = { max_attempts: 3, initial_ms: 200, factor: 2, max_ms: 5000 } as const

/**
 * Creates the plan of a corpus research: inventory, index, retrieve and extract for each question in parallel, crosscheck,
 * report. A question whose steps fail for good counts as uncovered. The quality gate is at `crosscheck`: coverage, fidelity (1 or
 * 0) and diversity must each reach 0.6; below that the plan fails, since the same corpus would give the same answers again.
 *
 * @throws PlanstreamError `bad_request` without questions, with too many, or with one twice
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
			createStep('report', 'Write the report', ['crosscheck'], {}),
		],
	}
}

function createQuestionSteps(question: string, number: number): StepSpec[] {
	const retrieve = {
		...createStep('retrieve', `Find passages: ${question}`, ['index'], { question }),
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
		...createStep('crosscheck', 'Compare the quotes with their sources', depends_on, { min_score: MIN_SCORE }),
		quality: {
			min_score: MIN_SCORE,
			approve_score: MIN_SCORE,
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
	if (at < 0) return
	const fault = at === empty ? 'is empty' : 'repeats an earlier one'
	throw new PlanstreamError('bad_request', `Question ${at + 1} ${fault}; questions must be non-empty and unique.`, {
		path: `questions[${at}]`,
	})
}
