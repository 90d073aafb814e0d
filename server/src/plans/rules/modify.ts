import { type Json, type NormalisedStep, normaliseStep, type ParsedEvent, type StepStatus } from '@planstream/shared'
import { MAX_STEPS, type ModifyOp, normalisedStep } from '@planstream/shared/schemas'
import { findStep, type PlanFold } from '../../hub/plan-fold.js'
import { assertInputs } from '../agent-schemas.js'
import { assertGraph } from './graph.js'
import { ALLOWED_ON_PLAN, type DecisionContext, listStepCommands, refuseAt, refuseOnPlan, refuseTransition } from './input.js'
import { isOpen, makeStepCancelled, settle } from './settle.js'

const FROZEN: ReadonlySet<StepStatus> = new Set(['running', 'awaiting_review', 'completed'])

/**
 * Edits the graph of a plan: applies the operations in order and checks the outcome; all or nothing.
 *
 * @throws PlanstreamError `illegal_transition` for a frozen step or plan, `bad_request` with the `path` of the invalid operation, or of the step that is invalid after the last one, `invalid_input`
 */
export function modify(fold: PlanFold, ops: readonly ModifyOp[], context: DecisionContext): ParsedEvent[] {
	const { status, revision, steps: before } = fold.state
	if (!ALLOWED_ON_PLAN[status].includes('modify') || fold.plan === null) refuseOnPlan(fold, 'modify')
	const edit = new Edit(fold, fold.plan.steps)
	for (const [index, op] of ops.entries()) edit.apply(op, `ops[${index}]`)
	const steps = edit.finish()
	assertGraph({ steps }, context.agents)
	assertInputs(steps, context.agents, fold.plan.steps)
	const kept = new Set(steps.map((step) => step.step_id))
	const removed = before.filter((step) => !kept.has(step.step_id) && isOpen(step))
	const modified: ParsedEvent = {
		event_type: 'plan_modified',
		step_id: null,
		data: { from_revision: revision, revision: revision + 1, ops: ops as unknown as Record<string, Json>[], steps },
	}
	return settle(fold, [modified, ...removed.map((step) => makeStepCancelled(step.step_id, 'removed'))], context)
}

/** The graph during an edit. */
class Edit {
	readonly #fold: PlanFold
	readonly #frozen: ReadonlyMap<string, StepStatus>
	#steps: NormalisedStep[]
	/** Whether implied dependencies must be set again. */
	#relink = false
	#reordered: string | null = null

	constructor(fold: PlanFold, steps: readonly NormalisedStep[]) {
		this.#fold = fold
		const frozen = fold.state.steps.filter((step) => FROZEN.has(step.status))
		this.#frozen = new Map(frozen.map((step) => [step.step_id, step.status]))
		this.#steps = [...steps]
	}

	apply(op: ModifyOp, path: string): void {
		switch (op.op) {
			case 'add_step':
				this.#add(op, path)
				return
			case 'remove_step':
				this.#assertThawed(op.step_id, path)
				this.#steps = this.#steps.filter((step) => step.step_id !== op.step_id)
				this.#relink = true
				return
			case 'update_step':
				this.#replace(op.step_id, path, (step) => applyPatch(step, op.patch, path))
				return
			case 'set_dependencies':
				this.#replace(op.step_id, path, (step) => ({ ...step, depends_on: op.depends_on, implied: false }))
				return
			case 'reorder':
				this.#reorder(op.step_ids, path)
				return
		}
	}

	finish(): NormalisedStep[] {
		if (this.#steps.length === 0) refuseAt('ops', 'A plan needs at least one step. Keep one, or cancel the plan.')
		if (this.#steps.length > MAX_STEPS)
			refuseAt('ops', `The plan would have ${this.#steps.length} steps; the limit is ${MAX_STEPS}. Add fewer steps.`)
		const steps = this.#relink ? this.#steps.map((step, index) => this.#link(step, index)) : this.#steps
		if (this.#reordered !== null) assertOrder(steps, this.#reordered)
		return steps
	}

	#add({ step, after }: Extract<ModifyOp, { op: 'add_step' }>, path: string): void {
		const { step_id } = step
		const taken = this.#steps.some((each) => each.step_id === step_id)
		if (taken || this.#fold.removed.includes(step_id) || findStep(this.#fold.state, step_id) !== undefined) {
			refuseAt(`${path}.step.step_id`, `The id ${step_id} is or was a step of this plan. Choose an id that was never used in it.`)
		}
		const place = after === undefined ? this.#steps.length : this.#findPlace(after, `${path}.after`) + 1
		const previous = this.#steps[place - 1]?.step_id ?? null
		this.#steps.splice(place, 0, normaliseStep(step, previous))
		this.#relink = true
	}

	#replace(step_id: string, path: string, change: (step: NormalisedStep) => NormalisedStep): void {
		this.#assertThawed(step_id, path)
		const place = this.#findPlace(step_id, `${path}.step_id`)
		this.#steps = this.#steps.map((step, index) => (index === place ? change(step) : step))
	}

	/** Puts the movable steps into the places they hold together, in the given order; frozen ones stay where they are. */
	#reorder(step_ids: readonly string[], path: string): void {
		const movable = this.#steps.filter((step) => !this.#frozen.has(step.step_id))
		const order = new Map(movable.map((step) => [step.step_id, step]))
		const seen = new Set<string>()
		for (const [index, id] of step_ids.entries()) {
			const place = `${path}.step_ids[${index}]`
			if (seen.has(id)) refuseAt(place, `Step ${id} is listed twice. List it once.`)
			seen.add(id)
			if (!order.has(id)) this.#assertThawed(id, place)
		}
		const missing = movable.find(({ step_id }) => !seen.has(step_id))
		if (missing !== undefined)
			refuseAt(
				`${path}.step_ids`,
				`Step ${missing.step_id} is not listed. List each of the ${movable.length} steps that may move.`,
			)
		const listed = step_ids.values()
		this.#steps = this.#steps.map((step) =>
			this.#frozen.has(step.step_id) ? step : (order.get(listed.next().value ?? '') ?? step),
		)
		this.#relink = true
		this.#reordered = `${path}.step_ids`
	}

	/** Makes a step with an implied dependency depend on the step before it. */
	#link(step: NormalisedStep, index: number): NormalisedStep {
		if (!step.implied || this.#frozen.has(step.step_id)) return step
		const previous = this.#steps[index - 1]
		return { ...step, depends_on: previous === undefined ? [] : [previous.step_id] }
	}

	#assertThawed(step_id: string, path: string): void {
		this.#findPlace(step_id, path)
		const status = this.#frozen.get(step_id)
		if (status === undefined) return
		refuseTransition(`Step ${step_id}`, status, 'modify', listStepCommands(this.#fold.state.status, status))
	}

	#findPlace(step_id: string, path: string): number {
		const place = this.#steps.findIndex((step) => step.step_id === step_id)
		return place >= 0 ? place : refuseAt(path, `There is no step ${step_id} in this plan. Its steps are in the plan's state.`)
	}
}

type Patch = Extract<ModifyOp, { op: 'update_step' }>['patch']

function applyPatch(step: NormalisedStep, { retry, quality, ...fields }: Patch, path: string): NormalisedStep {
	const given = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))
	const gate = quality === undefined ? step.quality : quality === null ? null : { ...step.quality, ...quality }
	// A plan may have 1,000 edits of one step of 1 MiB, so what an edit leaves as it was is not parsed again.
	const { input, depends_on } = step
	const small = { ...step, input: {}, depends_on: [] }
	const merged = normalisedStep.safeParse({ ...small, ...given, retry: { ...step.retry, ...retry }, quality: gate })
	if (merged.success) return { ...merged.data, depends_on, ...(given.input === undefined && { input }) }
	const [issue] = merged.error.issues
	return refuseAt(`${path}.patch.${issue?.path.join('.') ?? ''}`, `${issue?.message ?? 'is wrong'}.`)
}

/** Rejects an order that puts a step before one of its dependencies. */
function assertOrder(steps: readonly NormalisedStep[], path: string): void {
	const places = new Map(steps.map((step, index) => [step.step_id, index]))
	for (const [index, step] of steps.entries()) {
		const late = step.depends_on.find((id) => (places.get(id) ?? -1) > index)
		if (late !== undefined)
			refuseAt(path, `Step ${step.step_id} depends on ${late}, which would come after it. Change the order or the dependency.`)
	}
}
