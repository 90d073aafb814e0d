import { applyEvent, initialPlanState, isDone, isFinished, isFree, type PlanEvent, PlanstreamError } from '@planstream/shared'
import { modifyOp, planState } from '@planstream/shared/schemas'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import type { PlanFold } from '../../server/src/hub/plan-fold.js'
import { countFreeSlots, decide, listDueAttempts } from '../../server/src/plans/rules/decide.js'
import { assertGraph } from '../../server/src/plans/rules/graph.js'
import type { Command, Input, Occurrence } from '../../server/src/plans/rules/input.js'
import { arbitraryPlan } from '../support/plans/arbitrary-plan.js'
import { PlanInMemory } from '../support/plans/plan-in-memory.js'

const agents = new Map([['any', {}]])

interface Choice {
	readonly pick: number
	readonly outcome: 'result' | 'poor' | 'error' | 'fatal' | 'timeout' | 'lost' | 'report'
	readonly command: number
}
const choice: fc.Arbitrary<Choice> = fc.record({
	pick: fc.nat(1000),
	outcome: fc.constantFrom('result', 'poor', 'error', 'fatal', 'timeout', 'lost', 'report'),
	command: fc.nat(1000),
})

/** Plays the next move of a worker: leases a due attempt when there is room, otherwise ends a running one as chosen. */
function work(fold: PlanFold, live: ReadonlySet<string>, { pick, outcome }: Choice): Occurrence | null {
	const due = countFreeSlots(fold, live) > 0 ? listDueAttempts(fold).filter((attempt) => !live.has(attempt.step_id)) : []
	const running = fold.state.steps.filter((step) => step.status === 'running')
	const place = pick % Math.max(1, due.length + running.length)
	const attempt = due[place]
	if (attempt !== undefined)
		return { kind: 'lease', lease: { step_id: attempt.step_id, attempt: attempt.attempt, worker_id: 'w' } }
	const step = running[place - due.length]
	if (step === undefined) return null
	const { step_id } = step
	const lease = { step_id, attempt: step.attempt, worker_id: 'w' }
	switch (outcome) {
		case 'result':
		case 'poor': {
			const result = {
				data: { from: step_id },
				quality_score: outcome === 'poor' ? 0.1 : 0.9,
				artifacts: [],
				usage: null,
				duration_ms: 1,
			}
			return { kind: 'result', lease, result }
		}
		case 'lost':
			return {
				kind: 'lost',
				step_id,
				attempt: step.attempt,
				reason: fold.state.status === 'pausing' ? 'interrupted' : 'worker_lost',
			}
		case 'report': {
			const event = { event_type: 'step_progress', step_id, attempt: step.attempt, data: { progress: 0.5, message: '' } } as const
			return { kind: 'report', lease, events: [event] }
		}
		default: {
			const error = { code: 'x', message: 'x', retryable: outcome !== 'fatal' }
			return { kind: 'failure', lease, duration_ms: 1, reason: outcome === 'timeout' ? 'timeout' : 'error', error }
		}
	}
}

function openReview(fold: PlanFold, { pick }: Choice): Command | null {
	const review_id = fold.state.steps.find((step) => step.review !== null)?.review?.review_id
	if (review_id === undefined) return null
	return { kind: 'review', review_id, decision: pick % 2 === 0 ? 'approve' : 'reject' }
}

/** A command, edit or timeout that may or may not make sense. */
function ask(fold: PlanFold, { pick, command }: Choice, made: number): Input {
	const { steps } = fold.state
	const step_id = steps[pick % steps.length]?.step_id ?? 'none'
	const other = steps[command % steps.length]?.step_id ?? 'none'
	const movable = steps
		.filter((step) => !['running', 'awaiting_review', 'completed'].includes(step.status))
		.map((step) => step.step_id)
	const [first, ...others] = movable
	const edits = [
		{ op: 'add_step', step: { step_id: `new${made}`, action: 'act', agent_type: 'any' }, after: other },
		{ op: 'add_step', step: { step_id: `new${made}`, action: 'act', agent_type: 'any', depends_on: [other] } },
		{ op: 'remove_step', step_id },
		{ op: 'update_step', step_id, patch: { action: 'other', retry: { max_attempts: 2 } } },
		{ op: 'set_dependencies', step_id, depends_on: other === step_id ? [] : [other] },
		{ op: 'reorder', step_ids: first === undefined ? [step_id] : [...others, first] },
	]
	const ops = [edits[pick % edits.length], edits[command % edits.length]].map((op) => modifyOp.parse(op))
	const review_id = steps.find((step) => step.review !== null)?.review?.review_id ?? 'none'
	const commands: Input[] = [
		{ kind: 'start' },
		{ kind: 'plan_timeout' },
		{ kind: 'pause', mode: pick % 2 === 0 ? 'drain' : 'interrupt' },
		{ kind: 'resume' },
		{ kind: 'resume' },
		{ kind: 'cancel' },
		{ kind: 'retry' },
		{ kind: 'retry' },
		{ kind: 'modify', ops: pick % 3 === 0 ? ops : ops.slice(0, 1) },
		{ kind: 'modify', ops: ops.slice(0, 1) },
		{ kind: 'retry_step', step_id, cascade: pick % 2 === 0 },
		{ kind: 'skip_step', step_id },
		{ kind: 'review', review_id, decision: pick % 3 === 0 ? 'approve' : 'reject' },
		{ kind: 'review', review_id, decision: 'edit', payload: { edited: true } },
	]
	return commands[command % commands.length] ?? { kind: 'resume' }
}

/** Applies an input; a rejection must be typed and change nothing. */
function attempt(plan: PlanInMemory, input: Input, now: number): void {
	const before = plan.fold
	try {
		plan.put(input, now)
	} catch (error) {
		expect(error).toBeInstanceOf(PlanstreamError)
		expect(['illegal_transition', 'bad_request', 'not_found']).toContain((error as PlanstreamError).code)
		expect(plan.fold).toBe(before)
	}
}

/** Checks random plans with random outcomes, edits and commands. */
export function decideSuite(runs: { readonly plans: number; readonly sequences: number }): void {
	it('brings any plan to its end with any outcomes, and rebuilds it from its log after every event', () => {
		fc.assert(
			fc.property(arbitraryPlan, fc.array(choice, { minLength: 400, maxLength: 400 }), (spec, moves) => {
				const plan = new PlanInMemory()
				plan.put({ kind: 'create', plan: spec, start: true })
				for (const [index, move] of moves.entries()) {
					if (isFinished(plan.fold.state.status)) break
					const input = work(plan.fold, plan.live, move) ?? openReview(plan.fold, move)
					expect(input, 'an open plan always has something to do').not.toBeNull()
					if (input === null) break
					if (input.kind === 'lease') assertMayStart(plan.fold, input.lease.step_id)
					plan.put(input, index * 100_000)
					expect(plan.fold.state).toEqual(plan.events.reduce(applyEvent, initialPlanState('p', 'managed')))
				}
				expect(plan.fold.state.status).toSatisfy(isFinished)
				assertAttempts(plan.events)
				assertRefusesLate(plan)
			}),
			{ numRuns: runs.plans },
		)
	})

	it('never reaches an invalid graph or state, in any order of edits, commands and reports', () => {
		fc.assert(
			fc.property(arbitraryPlan, fc.array(choice, { maxLength: 60 }), (spec, moves) => {
				const plan = new PlanInMemory()
				plan.put({ kind: 'create', plan: spec, start: true })
				for (const [index, move] of moves.entries()) {
					const now = index * 100_000
					const occurrence = move.command % 2 === 0 ? work(plan.fold, plan.live, move) : null
					if (occurrence?.kind === 'lost' && move.pick % 3 === 0) plan.live.add(occurrence.step_id)
					else if (move.pick % 3 === 1) endAgents(plan, now)
					attempt(plan, occurrence ?? ask(plan.fold, move, index), now)
					assertGraph({ steps: plan.fold.plan?.steps ?? [] }, agents)
					assertSound(plan)
				}
				expect(plan.events.reduce(applyEvent, initialPlanState('p', 'managed'))).toEqual(plan.fold.state)
				assertAttempts(plan.events)
			}),
			{ numRuns: runs.sequences },
		)
	})

	it('writes no event for the same plan under the same id, and rejects another plan', () => {
		fc.assert(
			fc.property(arbitraryPlan, (spec) => {
				const plan = new PlanInMemory()
				plan.put({ kind: 'create', plan: spec, start: false })
				expect(plan.put({ kind: 'create', plan: structuredClone(spec), start: true })).toEqual([])
				expect(() => plan.put({ kind: 'create', plan: { ...spec, query: 'other' }, start: true })).toThrow(/differs/)
			}),
			{ numRuns: runs.plans },
		)
	})
}

/** Ends the agents that ignored their signal and reports it to the plan. */
function endAgents(plan: PlanInMemory, now: number): void {
	plan.live.clear()
	plan.put({ kind: 'idle' }, now)
}

/** Checks that a paused plan runs nothing, that its steps match its graph, and that its state is valid. */
function assertSound({ fold, live }: PlanInMemory): void {
	const { state, plan } = fold
	expect(planState.parse(state)).toEqual(state)
	expect(state.steps.map((step) => [step.step_id, step.depends_on])).toEqual(
		plan?.steps.map((step) => [step.step_id, step.depends_on]),
	)
	const running = state.steps.filter((step) => step.status === 'running')
	if (state.status === 'paused' || isFinished(state.status)) {
		if (state.status !== 'failed') expect(running).toEqual([])
		if (state.status === 'paused') expect(live.size).toBe(0)
	}
	if (state.status === 'completed')
		expect(state.steps.every((step) => ['completed', 'skipped', 'failed'].includes(step.status))).toBe(true)
	if (state.status === 'running') {
		const stuck = state.steps.every(
			(step) =>
				!['ready', 'running', 'awaiting_review'].includes(step.status) &&
				!(step.status === 'retrying' && isFree(step, state.steps)),
		)
		expect(stuck, 'a running plan has something that can go on').toBe(false)
	}
}

function assertMayStart(fold: PlanFold, step_id: string): void {
	const step = fold.state.steps.find((each) => each.step_id === step_id)
	const dependencies = fold.state.steps.filter((each) => step?.depends_on.includes(each.step_id))
	expect(dependencies.every(isDone)).toBe(true)
	const running = fold.state.steps.filter((each) => each.status === 'running').length
	expect(running).toBeLessThan(fold.plan?.max_concurrency ?? 0)
}

/** Checks that the attempts of each step are numbered 1, 2, 3 ... */
function assertAttempts(events: readonly PlanEvent[]): void {
	const started = new Map<string, number[]>()
	for (const event of events) {
		if (event.event_type === 'step_started')
			started.set(event.step_id, [...(started.get(event.step_id) ?? []), event.attempt ?? 0])
	}
	for (const attempts of started.values()) expect(attempts).toEqual(attempts.map((_, index) => index + 1))
}

/** Checks that no lease is current once the plan is done. */
function assertRefusesLate(plan: PlanInMemory): void {
	for (const step of plan.fold.state.steps) expect(() => plan.fail(step.step_id)).toThrow(/refused/)
	expect(() => decide('none', null, { kind: 'start' }, { now: 0, random: 0, live: new Set(), agents })).toThrow(/no plan none/)
}
