import { asPlanstreamError } from '@planstream/shared'
import { type PlanKey, planKey } from '../log/event-log.js'
import type { Schedule } from '../ops/clock.js'
import type { Health } from '../ops/health.js'

/** Between two tries of the plans that could not go on. */
const AGAIN_MS = 60_000

export interface RecoveryOptions {
	/** Goes on with a plan. Rejects while that cannot be done. */
	readonly resume: (plan: PlanKey) => Promise<void>
	readonly schedule: Schedule
	readonly health: Health
	readonly onProblem: (message: string, error?: Error) => void
}

/** Goes on with plans after a start. One that cannot be taken up keeps no other from it: it is told once, counted in the health, and tried again. */
export class Recovery {
	readonly #options: RecoveryOptions
	readonly #stuck = new Map<string, PlanKey>()
	#again: Disposable | null = null
	#stopped = false

	constructor(options: RecoveryOptions) {
		this.#options = options
	}

	/** Resolves when each of the plans goes on or has been told. */
	async run(plans: Iterable<PlanKey>): Promise<void> {
		for (const plan of plans) {
			if (this.#stopped) return
			await this.#resume(plan)
		}
		this.#reportHealth()
		if (this.#stuck.size > 0 && !this.#stopped)
			this.#again = this.#options.schedule(() => void this.run([...this.#stuck.values()]), AGAIN_MS)
	}

	stop(): void {
		this.#stopped = true
		this.#again?.[Symbol.dispose]()
	}

	async #resume(plan: PlanKey): Promise<void> {
		const key = planKey(plan)
		try {
			await this.#options.resume(plan)
			this.#stuck.delete(key)
		} catch (thrown) {
			if (this.#stopped || this.#stuck.has(key)) return
			this.#stuck.set(key, plan)
			const message = `Plan ${plan.plan_id} could not go on after the start; the others do, and it is tried again every minute.`
			this.#options.onProblem(message, asPlanstreamError(thrown))
		}
	}

	#reportHealth(): void {
		const { health } = this.#options
		const detail = `Plans that could not go on after the start: ${this.#stuck.size}. They are tried again every minute; the log says why.`
		if (this.#stuck.size > 0) health.report('recovery', 'degraded', detail)
		else health.report('recovery', 'ok')
	}
}
