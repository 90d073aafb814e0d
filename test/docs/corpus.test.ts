import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { researchAgents } from '../../server/src/agents/research/research.js'
import { researchPlan } from '../../server/src/agents/research/research-plan.js'
import { runSteps } from '../support/agents/run-steps.js'
import { readDocument, root } from './documents.js'

/** The questions that the demo asks about these documents. */
function demoQuestions(): string[] {
	const [, list = ''] = /const QUESTIONS = \[([\s\S]*?)\]/.exec(readDocument('cli/src/commands/demo.ts')) ?? []
	return [...list.matchAll(/'([^']+)'/g)].map(([, question = '']) => question)
}

const OTHERS = [
	'What does a cursor hold, and what is its fingerprint for?',
	'What happens to a slow reader?',
	'How is a failed step retried?',
	'What is an agent given, and how does it fail?',
]

describe('the documentation as a corpus', () => {
	it('answers the questions of the demo, and others, with quotes from at least two pages each', async () => {
		const questions = demoQuestions()
		expect(questions.length).toBeGreaterThan(0)
		const indexDirectory = await mkdtemp(path.join(tmpdir(), 'planstream-docs-'))
		try {
			const agents = researchAgents({ defaultCorpus: path.join(root, 'docs'), rootsOf: () => [root], indexDirectory })
			const ran = await runSteps(researchPlan({ questions: [...questions, ...OTHERS] }), agents)
			const { data, quality_score } = ran.get('crosscheck') ?? {}
			expect(data).toMatchObject({ uncovered: [] })
			expect(quality_score).toBeGreaterThanOrEqual(0.6)
		} finally {
			await rm(indexDirectory, { recursive: true, force: true })
		}
	})
})
