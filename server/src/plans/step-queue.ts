import type { PlanKey } from '../log/event-log.js'
import type { Schedule } from '../ops/clock.js'

/** One attempt of one step: ids only, everything else is in the plan's log. */
export interface StepJob extends PlanKey {
	readonly step_id: string
	readonly attempt: number
}

/** Runs a job and settles when the attempt has ended; at once if the attempt is no longer due. */
export type RunJob = (job: StepJob) => Promise<void>

/**
 * Queue of attempts that wait for a worker. It knows nothing about plans: a job may be stale by the time it runs, it may run on
 * another machine, and it may be lost or run twice; its runner checks the log first. Jobs with the same id are the same job.
 */
export interface StepQueue {
	/**
	 * Adds a job to run after a delay. Adding a waiting job again changes nothing, unless it is due now: then it runs at once.
	 * A job that is added while it runs starts once more when it has ended, however often it was added: it may have read the log
	 * before the event that made it due again.
	 */
	add(job: StepJob, delay_ms: number): void
	/** Starts running jobs, including those added before. A job that throws is logged and affects no other. */
	start(run: RunJob): void
	/** Accepts no more jobs and drops waiting ones; resolves when the running ones have ended. */
	close(): Promise<void>
}

/** Makes the id of a job, unique over all plans, of letters, digits, `_`, `-` and `.`, which every queue accepts. */
export function makeJobId({ tenant, plan_id, step_id, attempt }: StepJob): string {
	return [tenant, plan_id, step_id, attempt].join('.')
}

export interface InProcessQueueOptions {
	readonly schedule: Schedule
	readonly onProblem: (message: string, thrown: unknown) => void
}

/** A queue in this process: jobs wait on timers and run on this event loop. Jobs lost in a crash follow from the log again. */
export class InProcessQueue implements StepQueue {
	readonly #options: InProcessQueueOptions
	readonly #waiting = new Map<string, { readonly timer: Disposable; readonly isDue: boolean }>()
	/** Jobs that became due before the queue was started. */
	readonly #due = new Map<string, StepJob>()
	/** Running jobs, and the delay before each runs once more; null if it does not. */
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

/** Runs a job that is due now in the next turn, without a timer. */
function scheduleNextTurn(run: () => void): Disposable {
	const turn = setImmediate(run)
	return { [Symbol.dispose]: () => clearImmediate(turn) }
}
