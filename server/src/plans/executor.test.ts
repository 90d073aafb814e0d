import { describe, expect, it } from 'vitest'
import { startPlanstream } from '../../../test/support/planstream.js'

const quarters = { updates: [{ progress: 0.25 }, { progress: 0.5 }, { progress: 0.75 }], result: { found: 3 } }
const step = (step_id: string, input: object = quarters, more: object = {}) => ({
	step_id,
	action: 'search',
	agent_type: 'scripted',
	input: input as Record<string, never>,
	...more,
})

describe('a plan that runs', () => {
	it("gives the original's 17 events in its order after plan_created", async () => {
		await using planstream = await startPlanstream()
		const events = await planstream.run({ query: 'q', steps: [step('a'), step('b'), step('c')] })
		const each = ['step_started', 'step_progress', 'step_progress', 'step_progress', 'step_completed']
		const types = events.map((event) => event.event_type)
		expect(types).toEqual(['plan_created', 'plan_started', ...each, ...each, ...each, 'plan_completed'])
		expect(events.map((event) => event.seq)).toEqual(events.map((_, index) => index + 1))
		expect(planstream.problems).toEqual([])
	})
})
