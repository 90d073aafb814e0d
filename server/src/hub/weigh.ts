import { indexSteps, jsonBytes } from '@planstream/shared'
import type { PlanFold } from './plan-fold.js'

/** What a fold takes beside what it holds, and each step in it, in bytes. */
const FOLD_BYTES = 2048
const STEP_BYTES = 1024
/** A lease, an answer or another note of what has happened to a step. */
const NOTE_BYTES = 256

/** About how many bytes a fold keeps in memory. What is large in it is measured once, however many folds share it. */
export function weighFold(fold: PlanFold): number {
	const { state, plan, created, large_results, held, artifacts, commands, leases, skipped_by, resolved, removed } = fold
	const { resultBytes } = indexSteps(state.steps)
	const graphs = new Set([plan, created])
	const values = [...graphs, state.result, ...Object.values(large_results), ...Object.values(held)]
	const notes = [artifacts, commands, leases, skipped_by, resolved, removed].reduce((sum, kept) => sum + sizeOf(kept), 0)
	const content = values.reduce<number>((sum, value) => sum + jsonBytes(value), 0)
	return FOLD_BYTES + state.steps.length * STEP_BYTES + resultBytes + content + notes * NOTE_BYTES
}

function sizeOf(kept: object): number {
	return Array.isArray(kept) ? kept.length : Object.keys(kept).length
}
