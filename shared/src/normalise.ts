import type { NormalisedPlan, NormalisedStep, ParsedPlanSpec } from './plans.js'

/** Fills in the values that `planSpec` cannot know: the plan's id, the names of steps, and the implied dependency on the previous step. */
export function normalisePlan(spec: ParsedPlanSpec, plan_id: string): NormalisedPlan {
	const steps = spec.steps.map((step, index) => normaliseStep(step, spec.steps[index - 1]?.step_id ?? null))
	return { ...spec, plan_id, steps }
}

/** Fills in the defaults of one step; `previous` is the id of the step before it, or null. */
export function normaliseStep(step: ParsedPlanSpec['steps'][number], previous: string | null): NormalisedStep {
	const implied = step.depends_on === undefined
	const depends_on = step.depends_on ?? (previous === null ? [] : [previous])
	return { ...step, name: step.name ?? step.action, depends_on, implied }
}
