import type { NormalisedPlan, NormalisedStep } from '@planstream/shared'
import { refuseAt } from './input.js'

/** The available agents, by type. */
type KnownAgents = Pick<ReadonlyMap<string, unknown>, 'has' | 'keys'>

/**
 * Rejects a graph that could never finish.
 *
 * @param agents - null for a plan whose agents may be missing here
 * @throws PlanstreamError `bad_request` with the `path` of the first fault: a duplicate id, an unknown dependency, a cycle, an unknown agent
 */
export function assertGraph(plan: Pick<NormalisedPlan, 'steps'>, agents: KnownAgents | null): void {
	const places = new Map<string, number>()
	plan.steps.forEach((step, index) => {
		const first = places.get(step.step_id)
		if (first !== undefined) {
			refuseAt(`steps[${index}].step_id`, `${step.step_id} is also the id of steps[${first}]. Give each step its own id.`)
		}
		places.set(step.step_id, index)
	})
	plan.steps.forEach((step, index) => {
		if (agents !== null) assertAgent(step, index, agents)
		assertDependencies(step, index, places)
	})
	assertAcyclic(plan.steps, places)
}

function assertAgent(step: NormalisedStep, index: number, agents: KnownAgents): void {
	if (agents.has(step.agent_type)) return
	const known = [...agents.keys()].sort().join(', ')
	const advice = known === '' ? 'This server has none; start it with the agents of the plan.' : `Use one of: ${known}.`
	refuseAt(`steps[${index}].agent_type`, `There is no agent ${step.agent_type}. ${advice}`)
}

function assertDependencies(step: NormalisedStep, index: number, places: ReadonlyMap<string, number>): void {
	const path = `steps[${index}].depends_on`
	const seen = new Set<string>()
	for (const id of step.depends_on) {
		if (!places.has(id))
			refuseAt(path, `Step ${step.step_id} depends on ${id}, which is not in this plan. Add that step or remove the dependency.`)
		if (seen.has(id)) refuseAt(path, `Step ${step.step_id} names its dependency ${id} twice. Name it once.`)
		seen.add(id)
	}
}

/** Removes steps without remaining dependencies until none is left; any that remain are in a cycle or behind one. */
function assertAcyclic(steps: readonly NormalisedStep[], places: ReadonlyMap<string, number>): void {
	const open = new Map(steps.map((step) => [step.step_id, step.depends_on.length]))
	const dependents = mapDependents(steps)
	const free = steps.filter((step) => step.depends_on.length === 0).map((step) => step.step_id)
	for (let id = free.pop(); id !== undefined; id = free.pop()) {
		open.delete(id)
		for (const dependent of dependents.get(id) ?? []) {
			const left = (open.get(dependent) ?? 0) - 1
			open.set(dependent, left)
			if (left === 0) free.push(dependent)
		}
	}
	const [inside] = open.keys()
	if (inside === undefined) return
	const cycle = findCycle(inside, steps, open)
	const place = places.get(cycle[0] ?? inside) ?? 0
	refuseAt(`steps[${place}].depends_on`, `The steps ${cycle.join(' -> ')} wait for each other. Remove one of these dependencies.`)
}

/** Walks back along open dependencies until a step repeats. */
function findCycle(start: string, steps: readonly NormalisedStep[], open: ReadonlyMap<string, number>): string[] {
	const byId = new Map(steps.map((step) => [step.step_id, step]))
	const path: string[] = []
	for (let id: string | undefined = start; id !== undefined; ) {
		const before = path.indexOf(id)
		if (before >= 0) return [...path.slice(before), id]
		path.push(id)
		id = byId.get(id)?.depends_on.find((dependency) => open.has(dependency))
	}
	return path
}

/** Maps each step to the ids of the steps that depend on it. */
function mapDependents(steps: readonly Pick<NormalisedStep, 'step_id' | 'depends_on'>[]): Map<string, string[]> {
	const dependents = new Map<string, string[]>()
	for (const step of steps) {
		for (const id of step.depends_on) {
			const known = dependents.get(id)
			if (known === undefined) dependents.set(id, [step.step_id])
			else known.push(step.step_id)
		}
	}
	return dependents
}

/** Finds all steps that depend on a step, directly or through others. */
export function findDependents(steps: readonly Pick<NormalisedStep, 'step_id' | 'depends_on'>[], step_id: string): Set<string> {
	const dependents = mapDependents(steps)
	const below = new Set(dependents.get(step_id))
	for (const id of below) for (const next of dependents.get(id) ?? []) below.add(next)
	return below
}
