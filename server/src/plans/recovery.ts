import { asPlanstreamError } from '@planstream/shared'
import { type PlanKey, planKey } from '../log/event-log.js'
import type { Schedule } from '../ops/clock.js'
import type { Health } from '../ops/health.js'

/** Delay before plans that could not be recovered are tried again. */
const RETRY_MS = 60_000

export interface RecoveryOptions {
	/** Recovers a plan; rejects while that is impossible. */
	readonly recover: (plan: PlanKey) => Promise<void>
	readonly schedule: Schedule
	readonly health: Health
	readonly onProblem: (message: string, error?: Error) => void
}

/** Recovers plans after a start. One that cannot be recovered is logged once, counted in the health and retried; it holds up no other. */
export class Recovery {
	readonly #options: RecoveryOptions
	readonly #stuck = new Map<string, PlanKey>()
	#retry: Disposable | null = null
	#stopped = false

	constructor(options: RecoveryOptions) {
		this.#options = options
	}

	/** Resolves when each plan has been recovered or reported as stuck. */
	async run(plans: Iterable<PlanKey>): Promise<void> {
		for (const plan of plans) {
			if (this.#stopped) return
			await this.#recover(plan)
		}
		this.#reportHealth()
		if (this.#stuck.size > 0 && !this.#stopped)
			this.#retry = this.#options.schedule(() => void this.run([...this.#stuck.values()]), RETRY_MS)
	}

	stop(): void {
		this.#stopped = true
		this.#retry?.[Symbol.dispose]()
	}

	async #recover(plan: PlanKey): Promise<void> {
		const key = planKey(plan)
		try {
			await this.#options.recover(plan)
			this.#stuck.delete(key)
		} catch (thrown) {
			if (this.#stopped || this.#stuck.has(key)) return
			this.#stuck.set(key, plan)
			const message = `Plan ${plan.plan_id} could not be recovered after the start. The others continue, and it is retried every minute.`
			this.#options.onProblem(message, asPlanstreamError(thrown))
		}
	}

	#reportHealth(): void {
		const { health } = this.#options
		const detail = `Plans that could not be recovered after the start: ${this.#stuck.size}. They are retried every minute; the log has the reasons.`
		if (this.#stuck.size > 0) health.report('recovery', 'degraded', detail)
		else health.report('recovery', 'ok')
	}
}
