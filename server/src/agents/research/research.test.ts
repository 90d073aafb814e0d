import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { agentSuite } from '#test/suites/agent.suite.js'
import { type CorpusFolder, createCorpusFolder, TIDES } from '#test/support/agents/corpus-folder.js'
import { outputOf, recordingContext } from '#test/support/agents/recording-context.js'
import { runSteps } from '#test/support/agents/run-steps.js'
import type { Agent, StepInput } from '../../plans/agent.js'
import { callAgent } from '../../plans/agent.js'
import { researchAgents } from './research.js'
import { researchPlan } from './research-plan.js'
import { crosscheckResult, extractResult, reportResult } from './results.js'

const QUESTIONS = ['Where does the moon pull the tide?', 'When is the sea at high tide?']

let tides: CorpusFolder
beforeAll(async () => {
	tides = await createCorpusFolder(TIDES)
})
afterAll(() => tides[Symbol.asyncDispose]())

const listAgents = ({ documents, indexes }: CorpusFolder) =>
	researchAgents({ defaultCorpus: documents, rootsOf: () => ['/'], indexDirectory: indexes })

function agentOf(folder: CorpusFolder, type: string): Agent {
	const agent = listAgents(folder).find((each) => each.type === type)
	if (agent === undefined) throw new Error(`No agent ${type}`)
	return agent
}

const step = (kind: string, input: Record<string, unknown> = {}): StepInput => ({
	step_id: kind,
	name: kind,
	action: kind,
	agent_type: `corpus.${kind}`,
	input,
})

const NEEDS = {
	inventory: [],
	index: ['inventory'],
	retrieve: ['index'],
	extract: ['retrieve_1'],
	crosscheck: ['extract_1'],
	report: ['crosscheck'],
}

for (const [kind, needed] of Object.entries(NEEDS)) {
	agentSuite(
		`corpus.${kind}`,
		() => agentOf(tides, `corpus.${kind}`),
		async () => {
			const ran = await runSteps(researchPlan({ questions: QUESTIONS }), listAgents(tides))
			return {
				step: step(kind),
				plan: { input: { questions: QUESTIONS } },
				inputs: Object.fromEntries(needed.map((id) => [id, ran.get(id)?.data])),
				badInput: { corpus: 7, limit: 'many' },
			}
		},
	)
}

const research = async (folder: CorpusFolder, questions = QUESTIONS) => {
	const ran = await runSteps(researchPlan({ questions }), listAgents(folder))
	const getResult = (id: string) => ran.get(id)?.data
	return { ran, getResult, checks: ran.get('crosscheck')?.checks ?? [], score: ran.get('crosscheck')?.quality_score }
}

describe('corpus research', () => {
	it('answers from several files with quotes that equal the bytes of their sources', async () => {
		const { getResult, checks, score } = await research(tides)
		expect(score).toBe(checks.find(({ name }) => name === 'words')?.score)
		expect(checks.map(({ name, score: each, passed }) => [name, each, passed])).toEqual([
			['coverage', 1, true],
			['fidelity', 1, true],
			['diversity', 1, true],
			['words', expect.closeTo(0.861, 3), true],
		])
		const sources: Record<string, string> = TIDES
		const { answers } = extractResult.parse(getResult('extract_1'))
		const quotes = answers.flatMap((answer) => answer.quotes)
		expect(new Set(quotes.map(({ path }) => path))).toEqual(new Set(['moon.md', 'coast/harbour.txt']))
		for (const { path, start, end, text } of quotes) {
			expect(
				Buffer.from(sources[path] ?? '')
					.subarray(start, end)
					.toString(),
			).toBe(text)
		}
	})

	it('quotes neither code nor unrelated text', async () => {
		const { getResult } = await research(tides)
		const text = JSON.stringify([getResult('extract_1'), getResult('extract_2')])
		expect(text).not.toContain('tide = moon')
		expect(text).not.toContain('bread.md')
	})

	it('writes one report, streamed and stored alike, that cites every quote', async () => {
		const { ran, getResult } = await research(tides)
		const context = ran.get('report')?.context ?? recordingContext()
		const [kept] = context.reports.flatMap((report) => (report.kind === 'artifact' ? [report] : []))
		expect(kept?.content).toBe(outputOf(context, 'text'))
		expect(kept?.artifact).toMatchObject({ name: 'report.md', media_type: 'text/markdown' })
		const result = reportResult.parse(getResult('report'))
		expect(result).toMatchObject({
			artifact_id: kept?.artifact.artifact_id,
			questions: 2,
			covered: 2,
			sources: 2,
			uncovered: [],
		})
		expect(kept?.content).toContain(`## 1. ${QUESTIONS[0]}`)
		for (let number = 1; number <= result.quotes; number++) {
			expect(kept?.content).toMatch(new RegExp(`^> [^]*\\[${number}\\]$`, 'm'))
			expect(kept?.content).toMatch(new RegExp(`^- \\[${number}\\] .*bytes \\d+ to \\d+`, 'm'))
		}
	})

	it('fails its gate with coverage 0 on an unrelated corpus, and names each question', async () => {
		await using folder = await createCorpusFolder({
			'bread.md': TIDES['bread.md'],
			'cake.md': '# Cake\n\nThree eggs and sugar are beaten with butter.\n',
		})
		const { checks, score } = await research(folder)
		expect(score).toBe(0)
		expect(checks.find(({ name }) => name === 'coverage')).toMatchObject({
			score: 0,
			passed: false,
			evidence: { uncovered: QUESTIONS.map((question) => expect.objectContaining({ question, quotes: 0, files: 0 })) },
		})
	})

	it('fails its gate on an empty corpus', async () => {
		await using folder = await createCorpusFolder({})
		const { score, checks } = await research(folder)
		expect(score).toBe(0)
		expect(checks.every(({ passed }) => !passed)).toBe(true)
	})

	it('keeps each result below 60 KiB, and an answer for each question, for 64 questions with long quotes', async () => {
		const sentence = (file: number, at: number) =>
			`In file ${file} the tide of place${at} is told at length: ${'潮汐表 '.repeat(80)}.`
		const texts = Array.from({ length: 16 }, (_, file) => [
			`${'long-name/'.repeat(12)}${file}.md`,
			Array.from({ length: 64 }, (_, at) => sentence(file, at)).join('\n\n'),
		])
		await using folder = await createCorpusFolder(Object.fromEntries(texts) as Record<string, string>)
		const questions = Array.from({ length: 64 }, (_, at) => `How is the tide of place${at}?`)
		const { ran } = await research(folder, questions)
		for (const [id, { data }] of ran) expect([id, Buffer.byteLength(JSON.stringify(data)) < 60 * 1024]).toEqual([id, true])
		const { answers, left_out } = crosscheckResult.parse(ran.get('crosscheck')?.data)
		const kept = answers.reduce((sum, { quotes }) => sum + quotes.length, 0)
		expect(answers.map(({ covered }) => covered)).toEqual(questions.map(() => true))
		expect(left_out).toBe(64 * 6 - kept)
		expect(ran.get('report')?.data).toMatchObject({ covered: 64, uncovered: [] })
	})

	it('marks a quote as false when its source changed or vanished after the extraction', async () => {
		await using folder = await createCorpusFolder(TIDES)
		const before = await runSteps(researchPlan({ questions: QUESTIONS }), listAgents(folder), 'crosscheck')
		const inputs = Object.fromEntries(['extract_1', 'extract_2'].map((id) => [id, before.get(id)?.data ?? null]))
		const crosscheck = () =>
			callAgent(
				agentOf(folder, 'corpus.crosscheck'),
				step('crosscheck'),
				recordingContext({ inputs, plan: { input: { questions: QUESTIONS } } }),
			)
		await folder.write('moon.md', TIDES['moon.md'].replaceAll('moon', 'mood'))
		const { quality_score, checks = [] } = await crosscheck()
		expect(quality_score).toBe(0)
		expect(checks.find(({ name }) => name === 'fidelity')).toMatchObject({
			score: 0,
			passed: false,
			evidence: { false_quotes: expect.arrayContaining([expect.objectContaining({ path: 'moon.md' })]) },
		})
	})

	it('quotes nothing from a file that changed after it was indexed', async () => {
		await using folder = await createCorpusFolder(TIDES)
		const before = await runSteps(researchPlan({ questions: QUESTIONS }), listAgents(folder), 'extract_1')
		await folder.write('moon.md', `${TIDES['moon.md']}!`)
		const inputs = { retrieve_1: before.get('retrieve_1')?.data }
		await expect(
			callAgent(agentOf(folder, 'corpus.extract'), step('extract'), recordingContext({ inputs })),
		).rejects.toMatchObject({
			code: 'corpus_changed',
			retryable: false,
		})
	})

	it('rejects invented quotes and quotes that point outside the corpus', async () => {
		const quote = { sha256: '0'.repeat(64), start: 0, end: 5, text: 'never', terms: [] }
		const quotes = [
			{ ...quote, path: 'moon.md' },
			{ ...quote, path: '../../../../../../etc/hostname' },
		]
		const answers = [{ question: 'x?', terms: [], unknown_terms: [], quotable_files: [], quotes }]
		const inputs = { extract_1: { kind: 'corpus.extract', corpus: null, answers } }
		const { checks = [] } = await callAgent(agentOf(tides, 'corpus.crosscheck'), step('crosscheck'), recordingContext({ inputs }))
		expect(checks.find(({ name }) => name === 'fidelity')).toMatchObject({ score: 0, evidence: { quotes: 2, equal: 0 } })
	})

	it('accepts additional steps that search for a question with other words', async () => {
		const asked = 'When does the ocean swell?'
		const first = await research(tides, [asked])
		expect(crosscheckResult.parse(first.getResult('crosscheck')).uncovered).toEqual([asked])
		const retrieve = step('retrieve', { question: asked, search: 'tide moon' })
		const found = await callAgent(
			agentOf(tides, 'corpus.retrieve'),
			retrieve,
			recordingContext({ inputs: { index: first.getResult('index') } }),
		)
		const more = await callAgent(
			agentOf(tides, 'corpus.extract'),
			step('extract'),
			recordingContext({ inputs: { retrieve_2: found.data } }),
		)
		const inputs = { extract_1: first.getResult('extract_1'), skipped: null, extract_2: more.data }
		const again = await callAgent(
			agentOf(tides, 'corpus.crosscheck'),
			step('crosscheck'),
			recordingContext({ inputs, plan: { input: { questions: [asked] } } }),
		)
		expect(again).toMatchObject({ data: { uncovered: [] } })
	})

	it('uses the query of the plan when it has no questions', async () => {
		const { data } = await callAgent(
			agentOf(tides, 'corpus.crosscheck'),
			step('crosscheck'),
			recordingContext({ plan: { query: 'What is a tide?' } }),
		)
		expect(data).toMatchObject({ uncovered: ['What is a tide?'] })
	})

	it('names the missing dependency', async () => {
		await expect(callAgent(agentOf(tides, 'corpus.report'), step('report'), recordingContext())).rejects.toMatchObject({
			code: 'bad_input',
			path: 'inputs',
			message: expect.stringContaining('corpus.crosscheck'),
		})
	})

	it('names the path of an invalid field in a result', async () => {
		const inputs = { index: { kind: 'corpus.index', corpus: null, digest: 'short' } }
		await expect(
			callAgent(agentOf(tides, 'corpus.retrieve'), step('retrieve'), recordingContext({ inputs })),
		).rejects.toMatchObject({
			code: 'bad_input',
			path: 'inputs.index.digest',
		})
	})
})
