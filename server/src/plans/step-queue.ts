import type { PlanKey } from '../log/event-log.js'
import type { Schedule } from '../ops/clock.js'

/** One attempt of one step: ids only, everything else is in the plan's log. */
export interface StepJob extends PlanKey {
	readonly step_id: string
	readonly attempt: number
}

/** Runs a job; it settles when the attempt has ended. A job whose attempt is no longer due ends at once. */
export type RunJob = (job: StepJob) => Promise<void>

/**
 * Where attempts wait for a worker. The queue knows no plan: a job may be stale by the time it runs, it may run on another
 * machine, and it may be lost or taken twice; whoever runs it asks the log first. A job is told from others by its id.
 */
export interface StepQueue {
	/**
	 * Adds a job to run after a delay. The same job again, while it waits, changes nothing, unless it is due now: then it waits no
	 * longer. While it runs, it is begun once more when it has ended, however often it was added: it may have asked the log before
	 * that held what it was added for.
	 */
	add(job: StepJob, delay_ms: number): void
	/** Starts taking jobs, those that were added before included. A job that throws is told of and harms no other. */
	start(run: RunJob): void
	/** Takes no more jobs and forgets those that wait; resolves when the running ones have ended. */
	close(): Promise<void>
}

/** The id of a job, unique over all plans; of letters, digits, `_`, `-` and `.`, which every queue takes. */
export function makeJobId({ tenant, plan_id, step_id, attempt }: StepJob): string {
	return [tenant, plan_id, step_id, attempt].join('.')
}

export interface InProcessQueueOptions {
	readonly schedule: Schedule
	readonly onProblem: (message: string, thrown: unknown) => void
}

/** The queue of one process: jobs wait on timers and run on this event loop. What it forgets in a crash the log brings back. */
export class InProcessQueue implements StepQueue {
	readonly #options: InProcessQueueOptions
	readonly #waiting = new Map<string, { readonly timer: Disposable; readonly isDue: boolean }>()
	/** Jobs that are due before anybody takes them. */
	readonly #due = new Map<string, StepJob>()
	/** Jobs that run, and after what delay each is begun once more; null: not at all. */
	readonly #running = new Map<string, { readonly ended: Promise<void>; again_ms: number | null }>()
	#run: RunJob | null = null
	#closed = false

	constructor(options: InProcessQueueOptions) {
		this.#options = options
	}

	add(job: StepJob, delay_ms: number): void {
		const id = makeJobId(job)
		if (this.#closed || this.#due.has(id)) return
		const running = this.#running.get(id)
		if (running !== undefined) {
			running.again_ms = Math.min(running.again_ms ?? delay_ms, delay_ms)
			return
		}
		const before = this.#waiting.get(id)
		const isDue = delay_ms <= 0
		if (before !== undefined && (before.isDue || !isDue)) return
		before?.timer[Symbol.dispose]()
		const begin = () => {
			this.#waiting.delete(id)
			if (this.#run === null) this.#due.set(id, job)
			else this.#begin(this.#run, id, job)
		}
		this.#waiting.set(id, { isDue, timer: isDue ? scheduleNextTurn(begin) : this.#options.schedule(begin, delay_ms) })
	}

	start(run: RunJob): void {
		this.#run = run
		for (const [id, job] of this.#due) this.#begin(run, id, job)
		this.#due.clear()
	}

	async close(): Promise<void> {
		this.#closed = true
		for (const { timer } of this.#waiting.values()) timer[Symbol.dispose]()
		this.#waiting.clear()
		this.#due.clear()
		await Promise.all([...this.#running.values()].map(({ ended }) => ended))
	}

	#begin(run: RunJob, id: string, job: StepJob): void {
		const ended = run(job)
			.catch((thrown: unknown) => {
				this.#options.onProblem(`Step ${job.step_id} of plan ${job.plan_id} could not be run.`, thrown)
			})
			.finally(() => {
				const again_ms = this.#running.get(id)?.again_ms ?? null
				this.#running.delete(id)
				if (again_ms !== null) this.add(job, again_ms)
			})
		this.#running.set(id, { ended, again_ms: null })
	}
}

/** What is due at once waits for no timer. */
function scheduleNextTurn(run: () => void): Disposable {
	const turn = setImmediate(run)
	return { [Symbol.dispose]: () => clearImmediate(turn) }
}
