import type { ParsedEvent, PlanEvent } from '@planstream/shared'
import { planEvent } from '@planstream/shared/schemas'
import { foldEvent, initialFold, type PlanFold } from '../../../server/src/hub/plan-fold.js'
import { decide } from '../../../server/src/plans/rules/decide.js'
import type { Input } from '../../../server/src/plans/rules/input.js'

/** A plan and its log without a store. Every event passes through JSON, as on its way to the disk and back. */
export class PlanInMemory {
	readonly events: PlanEvent[] = []
	/** Steps whose agent ignores its signal. */
	readonly live = new Set<string>()
	#fold: PlanFold | null = null

	get fold(): PlanFold {
		if (this.#fold === null) throw new TypeError('the plan was not created yet')
		return this.#fold
	}

	/**
	 * Decides and appends.
	 *
	 * @returns the events that the input caused
	 */
	put(input: Input, now = 0, random = 0.5): readonly ParsedEvent[] {
		const context = { now, random, live: this.live, agents: new Map([['any', {}]]) }
		const decided = decide('p', this.#fold, input, context)
		for (const event of decided) {
			const seq = this.events.length + 1
			const timestamp = new Date(now).toISOString()
			const envelope = { seq, cursor: `e.${seq}.${'0'.repeat(16)}`, event_id: `id${seq}`, plan_id: 'p', timestamp }
			const stored = planEvent.parse(JSON.parse(JSON.stringify({ ...event, ...envelope })))
			this.events.push(stored)
			this.#fold = foldEvent(this.#fold ?? initialFold('p', 'managed'), stored)
		}
		return decided
	}

	/** Leases the next attempt of a step. */
	lease(step_id: string, now = 0): void {
		const attempt = (this.fold.state.steps.find((step) => step.step_id === step_id)?.attempt ?? 0) + 1
		this.put({ kind: 'lease', lease: { step_id, attempt, worker_id: 'w' } }, now)
	}

	/** Ends the running attempt of a step with a result. */
	complete(step_id: string, quality_score = 0.9): readonly ParsedEvent[] {
		const result = { data: { from: step_id }, quality_score, artifacts: [], usage: null, duration_ms: 1 }
		return this.put({ kind: 'result', lease: this.leaseOf(step_id), result })
	}

	/** Ends the running attempt of a step with an error that is not retried. */
	fail(step_id: string): readonly ParsedEvent[] {
		const error = { code: 'x', message: 'x', retryable: false }
		return this.put({ kind: 'failure', lease: this.leaseOf(step_id), reason: 'error', error, duration_ms: 1 })
	}

	leaseOf(step_id: string) {
		const attempt = this.fold.state.steps.find((step) => step.step_id === step_id)?.attempt ?? 0
		return { step_id, attempt, worker_id: 'w' }
	}
}
