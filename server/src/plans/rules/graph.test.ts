import { normalisePlan, type PlanSpec, PlanstreamError } from '@planstream/shared'
import { planSpec } from '@planstream/shared/schemas'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { arbitraryPlan } from '#test/support/plans/arbitrary-plan.js'
import { assertGraph } from './graph.js'

const agents = new Set(['any'])
const step = (step_id: string, depends_on?: string[]) => ({
	step_id,
	action: 'act',
	agent_type: 'any',
	...(depends_on !== undefined && { depends_on }),
})

function pathOf(steps: PlanSpec['steps']): unknown {
	try {
		assertGraph(normalisePlan(planSpec.parse({ query: 'q', steps }), 'p'), agents)
		return null
	} catch (error) {
		expect(error).toBeInstanceOf(PlanstreamError)
		return (error as PlanstreamError).facts.path
	}
}

describe('the graph of a plan', () => {
	it('is rejected with the path of a duplicate id, an unknown or duplicate dependency, or an unknown agent', () => {
		expect(pathOf([step('a'), step('a')])).toBe('steps[1].step_id')
		expect(pathOf([step('a'), step('b', ['x'])])).toBe('steps[1].depends_on')
		expect(pathOf([step('a'), step('b', ['a', 'a'])])).toBe('steps[1].depends_on')
		expect(pathOf([{ ...step('a'), agent_type: 'none' }])).toBe('steps[0].agent_type')
	})

	it('is rejected when steps form a cycle, which is named', () => {
		expect(pathOf([step('a', ['a'])])).toBe('steps[0].depends_on')
		const cycle = [step('x', []), step('a', ['c']), step('b', ['a']), step('c', ['b']), step('d', ['c'])]
		expect(pathOf(cycle)).toMatch(/^steps\[[123]\]\.depends_on$/)
		expect(() => assertGraph(normalisePlan(planSpec.parse({ query: 'q', steps: cycle }), 'p'), agents)).toThrow(/-> .* wait/)
	})

	it('accepts a later step as a dependency', () => {
		expect(pathOf([step('a', ['b']), step('b', [])])).toBeNull()
	})

	it('is accepted while steps depend on earlier ones only, and rejected once an edge closes a cycle', () => {
		fc.assert(
			fc.property(arbitraryPlan, (plan) => {
				assertGraph(plan, agents)
				const [first] = plan.steps
				const last = plan.steps.at(-1)
				if (first === undefined || last === undefined) return
				const closed = [
					{ ...first, depends_on: [last.step_id] },
					...plan.steps.slice(1, -1),
					{ ...last, depends_on: [first.step_id] },
				]
				expect(() => assertGraph({ steps: closed }, agents)).toThrow()
			}),
			{ numRuns: 50 },
		)
	})
})
