import { asPlanstreamError } from '@planstream/shared'
import { type PlanKey, planKey } from '../log/event-log.js'
import type { Schedule } from '../ops/clock.js'
import type { Health } from '../ops/health.js'

/** Delay before plans that could not be resumed are tried again. */
const RETRY_MS = 60_000

export interface RecoveryOptions {
	/** Resumes a plan; rejects while that is impossible. */
	readonly resume: (plan: PlanKey) => Promise<void>
	readonly schedule: Schedule
	readonly health: Health
	readonly onProblem: (message: string, error?: Error) => void
}

/** Resumes plans after a start. One that cannot be resumed is logged once, counted in the health and retried; it holds up no other. */
export class Recovery {
	readonly #options: RecoveryOptions
	readonly #stuck = new Map<string, PlanKey>()
	#retry: Disposable | null = null
	#stopped = false

	constructor(options: RecoveryOptions) {
		this.#options = options
	}

	/** Resolves when each plan has been resumed or reported as stuck. */
	async run(plans: Iterable<PlanKey>): Promise<void> {
		for (const plan of plans) {
			if (this.#stopped) return
			await this.#resume(plan)
		}
		this.#reportHealth()
		if (this.#stuck.size > 0 && !this.#stopped)
			this.#retry = this.#options.schedule(() => void this.run([...this.#stuck.values()]), RETRY_MS)
	}

	stop(): void {
		this.#stopped = true
		this.#retry?.[Symbol.dispose]()
	}

	async #resume(plan: PlanKey): Promise<void> {
		const key = planKey(plan)
		try {
			await this.#options.resume(plan)
			this.#stuck.delete(key)
		} catch (thrown) {
			if (this.#stopped || this.#stuck.has(key)) return
			this.#stuck.set(key, plan)
			const message = `Plan ${plan.plan_id} could not be resumed after the start. The others continue, and it is retried every minute.`
			this.#options.onProblem(message, asPlanstreamError(thrown))
		}
	}

	#reportHealth(): void {
		const { health } = this.#options
		const detail = `Plans that could not be resumed after the start: ${this.#stuck.size}. They are retried every minute; the log has the reasons.`
		if (this.#stuck.size > 0) health.report('recovery', 'degraded', detail)
		else health.report('recovery', 'ok')
	}
}
