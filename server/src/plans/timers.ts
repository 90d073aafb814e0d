import { indexSteps } from '@planstream/shared'
import type { PlanFold } from '../hub/plan-fold.js'
import { type PlanKey, planKey } from '../log/event-log.js'
import type { Schedule } from '../ops/clock.js'
import type { CommandGuard } from './dispatcher.js'
import { findTimeout } from './rules/control.js'
import { isMetered } from './rules/decide.js'
import type { Occurrence } from './rules/input.js'

/** Longest delay of a timer (about 24.8 days); a later deadline is checked again then. */
const LONGEST_WAIT_MS = 2_147_483_647

/** The next deadline of a plan: all that is kept of the plan until then. */
interface Deadline {
	/** Milliseconds since 1970. */
	readonly at: number
	readonly occurrence: Extract<Occurrence, { kind: 'plan_timeout' | 'review_expired' }>
}

/** Deadlines of plans: their own timeouts and those of their reviews. */
export class Deadlines {
	readonly #clock: () => number
	readonly #schedule: Schedule
	readonly #onDue: (plan: PlanKey, occurrence: Occurrence) => void
	readonly #waiting = new Map<string, Disposable>()

	constructor(options: {
		readonly clock: () => number
		readonly schedule: Schedule
		readonly onDue: (plan: PlanKey, occurrence: Occurrence) => void
	}) {
		this.#clock = options.clock
		this.#schedule = options.schedule
		this.#onDue = options.onDue
	}

	/** Waits for the plan's next deadline instead of the previous one. */
	watch(plan: PlanKey, fold: PlanFold): void {
		const key = planKey(plan)
		this.#waiting.get(key)?.[Symbol.dispose]()
		this.#waiting.delete(key)
		const next = findNextDeadline(fold)
		if (next !== null) this.#wait({ tenant: plan.tenant, plan_id: plan.plan_id }, key, next)
	}

	stop(): void {
		for (const timer of this.#waiting.values()) timer[Symbol.dispose]()
		this.#waiting.clear()
	}

	get waiting(): number {
		return this.#waiting.size
	}

	#wait(plan: PlanKey, key: string, next: Deadline): void {
		const wait = Math.min(LONGEST_WAIT_MS, Math.max(0, next.at - this.#clock()))
		const timer = this.#schedule(() => {
			if (next.at > this.#clock()) this.#wait(plan, key, next)
			else this.#onDue(plan, next.occurrence)
		}, wait)
		this.#waiting.set(key, timer)
	}
}

function findNextDeadline(fold: PlanFold): Deadline | null {
	const { status, steps } = fold.state
	if (status !== 'running' && status !== 'pausing' && status !== 'paused') return null
	const timeout = findTimeout(fold)
	let next: Deadline | null = timeout === null ? null : { at: timeout, occurrence: { kind: 'plan_timeout' } }
	if (indexSteps(steps).counts.awaiting_review === 0) return next
	for (const { review } of steps) {
		if (review?.expires_at == null) continue
		const at = Date.parse(review.expires_at)
		if (next === null || at < next.at) next = { at, occurrence: { kind: 'review_expired', review_id: review.review_id } }
	}
	return next
}

interface PlanMeter {
	/** Sequence number of the last metrics; 0 before the first. */
	reported: number
	/** Start of the current window. */
	since: number
	timer: Disposable | null
}

export interface MetricsReporterOptions {
	readonly clock: () => number
	readonly schedule: Schedule
	/** Appends the metrics of a plan, unless the guard skips them. Resolves with the plan afterwards. */
	readonly report: (
		plan: PlanKey,
		window_ms: number,
		guard: CommandGuard,
	) => Promise<{ readonly changed: boolean; readonly fold: PlanFold }>
	readonly onProblem: (plan: PlanKey, thrown: unknown) => void
}

/** Reports metrics of plans that request them: at most once per interval while they run, and only if the plan has changed. */
export class MetricsReporter {
	readonly #options: MetricsReporterOptions
	readonly #meters = new Map<string, PlanMeter>()

	constructor(options: MetricsReporterOptions) {
		this.#options = options
	}

	/** Waits for the plan's next interval, unless it already does; forgets a plan that is not running. */
	watch(plan: PlanKey, fold: PlanFold): void {
		const key = planKey(plan)
		const meter = this.#meters.get(key) ?? { reported: 0, since: this.#options.clock(), timer: null }
		const interval = fold.plan?.metrics_interval_ms
		if (!isMetered(fold) || interval == null) {
			meter.timer?.[Symbol.dispose]()
			this.#meters.delete(key)
			return
		}
		this.#meters.set(key, meter)
		meter.timer ??= this.#options.schedule(() => void this.#due(plan, meter), interval)
	}

	stop(): void {
		for (const { timer } of this.#meters.values()) timer?.[Symbol.dispose]()
		this.#meters.clear()
	}

	get waiting(): number {
		return this.#meters.size
	}

	async #due(plan: PlanKey, meter: PlanMeter): Promise<void> {
		meter.timer = null
		const check: CommandGuard['check'] = (fold) => (fold?.state.seq === meter.reported ? 'skip' : 'decide')
		const now = this.#options.clock()
		try {
			const { changed, fold } = await this.#options.report(plan, now - meter.since, { check, mark: null })
			if (changed) Object.assign(meter, { reported: fold.state.seq, since: now })
		} catch (thrown) {
			this.#options.onProblem(plan, thrown)
		}
	}
}
