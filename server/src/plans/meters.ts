import type { PlanFold } from '../hub/plan-fold.js'
import { keyText } from '../log/bells.js'
import type { PlanKey } from '../log/event-log.js'
import type { Guard } from './ledger.js'
import { isMetered } from './metrics.js'
import type { Timer } from './output.js'

interface Meter {
	/** Sequence number of the last numbers; 0 before the first. */
	reported: number
	/** From when the next numbers count. */
	since: number
	timer: Disposable | null
}

export interface MetersOptions {
	readonly clock: () => number
	readonly timer: Timer
	/** Appends the numbers of a plan, unless the guard says that there are none. Resolves with the plan after them. */
	readonly report: (
		plan: PlanKey,
		window_ms: number,
		guard: Guard,
	) => Promise<{ readonly changed: boolean; readonly fold: PlanFold }>
	readonly onProblem: (plan: PlanKey, thrown: unknown) => void
}

/** Plans that asked for numbers get them, at most once an interval while they run, and only if something has happened since. */
export class Meters {
	readonly #options: MetersOptions
	readonly #meters = new Map<string, Meter>()

	constructor(options: MetersOptions) {
		this.#options = options
	}

	/** Waits for the plan's next interval, unless that is under way; forgets a plan that does not run. */
	watch(plan: PlanKey, fold: PlanFold): void {
		const key = keyText(plan)
		const meter = this.#meters.get(key) ?? { reported: 0, since: this.#options.clock(), timer: null }
		const interval = fold.plan?.metrics_interval_ms
		if (!isMetered(fold) || interval == null) {
			meter.timer?.[Symbol.dispose]()
			this.#meters.delete(key)
			return
		}
		this.#meters.set(key, meter)
		meter.timer ??= this.#options.timer.set(() => void this.#due(plan, meter), interval)
	}

	stop(): void {
		for (const { timer } of this.#meters.values()) timer?.[Symbol.dispose]()
		this.#meters.clear()
	}

	get waiting(): number {
		return this.#meters.size
	}

	async #due(plan: PlanKey, meter: Meter): Promise<void> {
		meter.timer = null
		const check: Guard['check'] = (fold) => (fold?.state.seq === meter.reported ? 'skip' : 'decide')
		const now = this.#options.clock()
		try {
			const { changed, fold } = await this.#options.report(plan, now - meter.since, { check, mark: null })
			if (changed) Object.assign(meter, { reported: fold.state.seq, since: now })
		} catch (thrown) {
			this.#options.onProblem(plan, thrown)
		}
	}
}
