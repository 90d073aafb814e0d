import type { NormalisedPlan, PlanSpec } from '@planstream/shared'
import { normalisePlan } from '@planstream/shared'
import { planSpec } from '@planstream/shared/schemas'
import fc from 'fast-check'

const quality = fc.record({
	min_score: fc.constant(0.5),
	approve_score: fc.constantFrom(0.5, 0.95),
	on_reject: fc.constantFrom('retry', 'fail', 'skip'),
})

/** Any valid plan of a few steps: each step depends on some of the earlier ones, or on the one before by default. */
export const arbitraryPlan: fc.Arbitrary<NormalisedPlan> = fc
	.array(
		fc.record({
			dependencies: fc.option(fc.array(fc.nat(20), { maxLength: 3 }), { nil: undefined }),
			max_attempts: fc.integer({ min: 1, max: 3 }),
			on_failure: fc.constantFrom('fail', 'skip_dependents', 'continue'),
			quality: fc.option(quality, { nil: null }),
		}),
		{ minLength: 1, maxLength: 8 },
	)
	.chain((steps) => fc.tuple(fc.constant(steps), fc.integer({ min: 1, max: 4 }), fc.constantFrom(null, 500_000)))
	.map(([steps, max_concurrency, timeout_ms]) => {
		const spec = {
			query: 'q',
			max_concurrency,
			timeout_ms,
			steps: steps.map(({ dependencies, max_attempts, on_failure, quality: gate }, index) => ({
				step_id: `s${index}`,
				action: 'act',
				agent_type: 'any',
				retry: { max_attempts, max_lost: 1 },
				on_failure,
				quality: gate,
				...(dependencies !== undefined &&
					index > 0 && { depends_on: [...new Set(dependencies.map((place) => `s${place % index}`))] }),
			})),
		} as PlanSpec
		return normalisePlan(planSpec.parse(spec), 'p')
	})
