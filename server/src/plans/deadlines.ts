import type { PlanFold } from '../hub/plan-fold.js'
import { keyText } from '../log/bells.js'
import type { PlanKey } from '../log/event-log.js'
import type { Occurrence } from './decision.js'
import type { Timer } from './output.js'
import { timeoutAt } from './run-control.js'

/** The longest a timer of this runtime can wait; a later deadline is looked at again when it is over. */
const LONGEST_WAIT_MS = 2_147_483_647

/** The times at which something happens to plans by itself: their timeouts and those of their reviews. */
export class Deadlines {
	readonly #clock: () => number
	readonly #timer: Timer
	readonly #onDue: (plan: PlanKey, occurrence: Occurrence) => void
	readonly #waiting = new Map<string, Disposable>()

	constructor(options: {
		readonly clock: () => number
		readonly timer: Timer
		readonly onDue: (plan: PlanKey, occurrence: Occurrence) => void
	}) {
		this.#clock = options.clock
		this.#timer = options.timer
		this.#onDue = options.onDue
	}

	/** Waits for the plan's next deadline, in place of what was waited for before. */
	watch(plan: PlanKey, fold: PlanFold): void {
		const key = keyText(plan)
		this.#waiting.get(key)?.[Symbol.dispose]()
		this.#waiting.delete(key)
		const [next] = deadlines(fold).sort((a, b) => a.at - b.at)
		if (next === undefined) return
		const wait = Math.min(LONGEST_WAIT_MS, Math.max(0, next.at - this.#clock()))
		const timer = this.#timer.set(() => {
			if (next.at > this.#clock()) this.watch(plan, fold)
			else this.#onDue(plan, next.occurrence)
		}, wait)
		this.#waiting.set(key, timer)
	}

	stop(): void {
		for (const timer of this.#waiting.values()) timer[Symbol.dispose]()
		this.#waiting.clear()
	}

	get waiting(): number {
		return this.#waiting.size
	}
}

function deadlines(fold: PlanFold): { readonly at: number; readonly occurrence: Occurrence }[] {
	if (!['running', 'pausing', 'paused'].includes(fold.state.status)) return []
	const reviews = fold.state.steps.flatMap(({ review }) => {
		if (review?.expires_at == null) return []
		return [{ at: Date.parse(review.expires_at), occurrence: { kind: 'review_expired' as const, review_id: review.review_id } }]
	})
	const at = timeoutAt(fold)
	return at === null ? reviews : [...reviews, { at, occurrence: { kind: 'plan_timeout' } }]
}
