import { planSpec } from '@planstream/shared/schemas'
import { describe, expect, it } from 'vitest'
import { researchPlan } from './research-plan.js'

describe('researchPlan', () => {
	it('returns a valid plan whose questions run in parallel between index and crosscheck', () => {
		const plan = planSpec.parse(researchPlan({ corpus: 'docs', questions: ['a?', ' b? '], plan_id: 'p', concurrency: 2 }))
		expect(plan).toMatchObject({
			plan_id: 'p',
			query: 'a? (and 1 more)',
			input: { corpus: 'docs', questions: ['a?', 'b?'] },
			max_concurrency: 2,
		})
		expect(plan.steps.map(({ step_id, agent_type, depends_on }) => [step_id, agent_type, depends_on])).toEqual([
			['inventory', 'corpus.inventory', []],
			['index', 'corpus.index', ['inventory']],
			['retrieve_1', 'corpus.retrieve', ['index']],
			['extract_1', 'corpus.extract', ['retrieve_1']],
			['retrieve_2', 'corpus.retrieve', ['index']],
			['extract_2', 'corpus.extract', ['retrieve_2']],
			['crosscheck', 'corpus.crosscheck', ['extract_1', 'extract_2']],
			['report', 'corpus.report', ['inventory', 'crosscheck']],
		])
	})

	it('has a quality gate at the crosscheck only', () => {
		const plan = planSpec.parse(researchPlan({ questions: ['a?'] }))
		expect(plan.steps.filter(({ quality }) => quality !== null).map(({ step_id, quality }) => [step_id, quality])).toEqual([
			[
				'crosscheck',
				expect.objectContaining({
					min_score: 0.005,
					approve_score: 0.005,
					dimensions: ['coverage', 'fidelity', 'diversity'],
					on_reject: 'fail',
				}),
			],
		])
		expect(plan.input).toEqual({ questions: ['a?'] })
	})

	it.each([
		[[], 'questions'],
		[['a?', ' '], 'questions[1]'],
		[['a?', 'b?', 'a?'], 'questions[2]'],
		[Array.from({ length: 65 }, (_, n) => `${n}?`), 'questions'],
		[Array.from({ length: 9 }, (_, n) => `${n}${'x'.repeat(920)}?`), 'questions'],
	])('rejects %j', (questions, path) => {
		expect(() => researchPlan({ questions })).toThrow(expect.objectContaining({ code: 'bad_request', facts: { path } }))
	})
})
