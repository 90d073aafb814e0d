import { applyEvent, initialPlanState, isDone, isFinished, type ParsedEvent, type PlanEvent } from '@planstream/shared'
import { planEvent } from '@planstream/shared/schemas'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { arbitraryPlan } from '../../../test/support/arbitrary-plan.js'
import { foldEvent, initialFold, type PlanFold } from '../hub/plan-fold.js'
import { decide, dueAttempts, freeSlots } from './decide.js'
import type { Input } from './decision.js'

/** A plan and its log, without a store: every event goes through JSON as it would on its way to the disk and back. */
class PlanInMemory {
	fold: PlanFold | null = null
	readonly events: PlanEvent[] = []

	put(input: Input, now: number, random: number): readonly ParsedEvent[] {
		const decided = decide(this.fold, input, { now, random })
		for (const event of decided) {
			const seq = this.events.length + 1
			const envelope = {
				seq,
				cursor: `e.${seq}.${'0'.repeat(16)}`,
				event_id: `id${seq}`,
				plan_id: 'p',
				timestamp: new Date(now).toISOString(),
			}
			const stored = planEvent.parse(JSON.parse(JSON.stringify({ ...event, ...envelope })))
			this.events.push(stored)
			this.fold = foldEvent(this.fold ?? initialFold('p', 'managed'), stored)
		}
		return decided
	}
}

type Choice = { readonly pick: number; readonly outcome: 'result' | 'poor' | 'error' | 'fatal' | 'timeout' | 'lost' | 'report' }
const choices = fc.array(
	fc.record({ pick: fc.nat(100), outcome: fc.constantFrom('result', 'poor', 'error', 'fatal', 'timeout', 'lost', 'report') }),
	{ minLength: 400, maxLength: 400 },
) as fc.Arbitrary<Choice[]>

/** The next thing that happens: a due attempt is leased when there is room, else a running one ends as chosen. */
function next(fold: PlanFold, { pick, outcome }: Choice): Input | null {
	const due = freeSlots(fold) > 0 ? dueAttempts(fold) : []
	const running = fold.state.steps.filter((step) => step.status === 'running')
	const place = pick % Math.max(1, due.length + running.length)
	const lease = due[place]
	if (lease !== undefined) return { kind: 'lease', lease: { step_id: lease.step_id, attempt: lease.attempt, worker_id: 'w' } }
	const step = running[place - due.length]
	if (step === undefined) return null
	const held = { step_id: step.step_id, attempt: step.attempt, worker_id: 'w' }
	const ended = { lease: held, duration_ms: 1 }
	const error = { code: 'x', message: 'x', retryable: outcome !== 'fatal' }
	switch (outcome) {
		case 'result':
		case 'poor':
			return {
				kind: 'result',
				lease: held,
				result: {
					data: { from: step.step_id },
					quality_score: outcome === 'poor' ? 0.1 : 0.9,
					artifacts: [],
					usage: null,
					duration_ms: 1,
				},
			}
		case 'lost':
			return { kind: 'lost', step_id: step.step_id, reason: 'worker_lost' }
		case 'report': {
			const data = { progress: 0.5, message: '' }
			return {
				kind: 'report',
				lease: held,
				events: [{ event_type: 'step_progress', step_id: step.step_id, attempt: step.attempt, data }],
			}
		}
		default:
			return { kind: 'failure', ...ended, reason: outcome === 'timeout' ? 'timeout' : 'error', error }
	}
}

describe('decide', () => {
	it('brings any plan with any outcomes to its end, and its log alone rebuilds it after every event', () => {
		fc.assert(
			fc.property(arbitraryPlan, choices, (plan, moves) => {
				const memory = new PlanInMemory()
				memory.put({ kind: 'create', plan, start: true }, 0, 0)
				let now = 0
				for (const move of moves) {
					const { fold } = memory
					if (fold === null || isFinished(fold.state.status)) break
					now += 100_000
					const input = next(fold, move)
					expect(input, 'an open plan always has something to do').not.toBeNull()
					if (input === null) break
					if (input.kind === 'lease') assertMayStart(fold, input.lease.step_id)
					memory.put(input, now, 0.5)
					expect(memory.fold?.state).toEqual(memory.events.reduce(applyEvent, initialPlanState('p', 'managed')))
				}
				expect(memory.fold?.state.status).toSatisfy(isFinished)
				assertAttempts(memory.events)
				assertRefusesLate(memory)
			}),
			{ numRuns: 150 },
		)
	})

	it('gives the same plan under the same id no event and another plan a conflict', () => {
		fc.assert(
			fc.property(arbitraryPlan, (plan) => {
				const memory = new PlanInMemory()
				memory.put({ kind: 'create', plan, start: false }, 0, 0)
				expect(memory.put({ kind: 'create', plan: structuredClone(plan), start: true }, 0, 0)).toEqual([])
				expect(() => memory.put({ kind: 'create', plan: { ...plan, query: 'other' }, start: true }, 0, 0)).toThrow(/differs/)
			}),
			{ numRuns: 20 },
		)
	})
})

function assertMayStart(fold: PlanFold, step_id: string): void {
	const step = fold.state.steps.find((each) => each.step_id === step_id)
	const dependencies = fold.state.steps.filter((each) => step?.depends_on.includes(each.step_id))
	expect(dependencies.every(isDone)).toBe(true)
	const running = fold.state.steps.filter((each) => each.status === 'running').length
	expect(running).toBeLessThan(fold.plan?.max_concurrency ?? 0)
}

/** Attempt numbers of each step are 1, 2, 3 ...; nothing follows the end. */
function assertAttempts(events: readonly PlanEvent[]): void {
	const started = new Map<string, number[]>()
	for (const event of events) {
		if (event.event_type === 'step_started')
			started.set(event.step_id, [...(started.get(event.step_id) ?? []), event.attempt ?? 0])
	}
	for (const attempts of started.values()) expect(attempts).toEqual(attempts.map((_, index) => index + 1))
	const ends = events.filter((event) => event.event_type === 'plan_completed' || event.event_type === 'plan_failed')
	expect(ends).toEqual([events.at(-1)])
}

/** Once the plan is done no lease is current any more. */
function assertRefusesLate(memory: PlanInMemory): void {
	for (const step of memory.fold?.state.steps ?? []) {
		const lease = { step_id: step.step_id, attempt: step.attempt, worker_id: 'w' }
		const error = { code: 'x', message: 'x', retryable: true }
		expect(() => memory.put({ kind: 'failure', lease, reason: 'error', error, duration_ms: 1 }, 0, 0)).toThrow(/refused/)
	}
}
