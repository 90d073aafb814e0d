import type { Json } from '@planstream/shared'
import type { EventLog, PlanKey } from '../log/event-log.js'
import { encodeBase, resultAt } from './base.js'
import type { PlanFold } from './plan-fold.js'
import type { States } from './states.js'

/** What is to stand for the first `seq` events of a plan; null when they are gone already. */
export async function makeBase(log: EventLog, states: States, plan: PlanKey, seq: number): Promise<string | null> {
	const fold = await states.foldAt(plan, seq)
	if (fold === null) return null
	const results: Record<string, Json> = {}
	for (const named of namedResults(fold)) results[named] = await resultAt(log, plan, named)
	return encodeBase({ fold, results })
}

/** Numbers of the events whose results the state names and the fold does not hold. */
function namedResults({ state, large_results }: PlanFold): number[] {
	const steps = state.steps.filter(({ step_id }) => !Object.hasOwn(large_results, step_id))
	return [...steps, state].flatMap(({ result_seq }) => result_seq ?? [])
}
