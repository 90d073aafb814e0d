import { asPlanstreamError } from '@planstream/shared'
import type { Hub } from '../hub/hub.js'
import type { EventLog, PlanKey } from '../log/event-log.js'
import type { Schedule } from '../ops/clock.js'

const DAY_MS = 86_400_000
const FINISHED_DAYS = 7
const SILENT_DAYS = 30
const FINISHED_EVENTS = 100_000

/** Pauses between two runs: after one that finished its work, and after one that left some. */
const INTERVAL_MS = 60_000
const NEXT_MS = 1000
/** Limits of one run: plans removed of each kind, plans trimmed, and events trimmed from one plan. */
const REMOVED_PLANS = 100
const TRIMMED_PLANS = 4
const TRIMMED_EVENTS = 20_000

/** Limits on how long plans are kept. */
export interface RetentionLimits {
	/** Milliseconds from the last change of a finished plan to its removal; null keeps it forever. @defaultValue 7 days */
	readonly finishedMs?: number | null
	/** Number of newest events a finished plan keeps until then; null keeps all. @defaultValue 100,000 */
	readonly finishedEvents?: number | null
	/** Milliseconds without an event after which an external plan counts as finished; null: never. @defaultValue 30 days */
	readonly silentMs?: number | null
}

export interface RetentionOptions extends RetentionLimits {
	readonly hub: Hub
	readonly log: EventLog
	/** Milliseconds since 1970. */
	readonly clock: () => number
	readonly schedule: Schedule
	readonly onProblem: (message: string, error?: Error) => void
}

/**
 * Removes finished plans after a while and trims very long ones, a little in each run. Unfinished plans are never touched, except
 * external ones that have been silent for long.
 */
export class Retention {
	readonly #hub: Hub
	readonly #log: EventLog
	readonly #options: RetentionOptions
	readonly #limits: Required<RetentionLimits>
	#timer: Disposable | null = null
	#turning: Promise<unknown> = Promise.resolve()
	#stopped = false

	constructor(options: RetentionOptions) {
		const { finishedMs = FINISHED_DAYS * DAY_MS, finishedEvents = FINISHED_EVENTS, silentMs = SILENT_DAYS * DAY_MS } = options
		this.#hub = options.hub
		this.#log = options.log
		this.#options = options
		this.#limits = { finishedMs, finishedEvents, silentMs }
	}

	start(): void {
		this.#wait(INTERVAL_MS)
	}

	/** Waits for the run under way and starts no other. */
	async stop(): Promise<void> {
		this.#stopped = true
		this.#timer?.[Symbol.dispose]()
		await this.#turning
	}

	#wait(delayMs: number): void {
		if (this.#stopped) return
		this.#timer = this.#options.schedule(() => {
			this.#turning = this.#turn().then((isDone) => this.#wait(isDone ? INTERVAL_MS : NEXT_MS))
		}, delayMs)
	}

	/** Runs once. @returns whether all limits are met, or cannot be met now */
	async #turn(): Promise<boolean> {
		try {
			const removed = await this.#removeFinished()
			const trimmed = await this.#trimLarge()
			return removed && trimmed
		} catch (thrown) {
			this.#options.onProblem('Old plans could not be removed or trimmed. The next run tries again.', asPlanstreamError(thrown))
			return true
		}
	}

	async #removeFinished(): Promise<boolean> {
		const { finishedMs, silentMs } = this.#limits
		if (finishedMs === null) return true
		const finished = await this.#remove('finished', finishedMs)
		return silentMs === null ? finished : (await this.#remove('open', silentMs + finishedMs)) && finished
	}

	async #remove(kind: 'finished' | 'open', age_ms: number): Promise<boolean> {
		const updated_before = new Date(this.#options.clock() - age_ms).toISOString()
		const plans = await this.#log.retirable({ kind, updated_before, limit: REMOVED_PLANS })
		for (const plan of plans) {
			if (this.#stopped) break
			await this.#hub.remove(plan)
		}
		return plans.length < REMOVED_PLANS
	}

	async #trimLarge(): Promise<boolean> {
		const { finishedEvents } = this.#limits
		if (finishedEvents === null) return true
		const plans = await this.#log.retirable({ kind: 'large', more_events_than: finishedEvents, limit: TRIMMED_PLANS })
		for (const plan of plans) {
			if (this.#stopped) break
			await this.#trim(plan, finishedEvents)
		}
		return plans.length === 0
	}

	async #trim(plan: PlanKey, kept: number): Promise<void> {
		const head = await this.#log.head(plan)
		if (head === null) return
		await this.#hub.trim(plan, Math.min(head.head_seq - kept + 1, head.oldest_seq + TRIMMED_EVENTS))
	}
}
