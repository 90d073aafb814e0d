import type { PlanKey } from '../log/event-log.js'

/** One attempt of one step: ids only, everything else is in the plan's log. */
export interface StepJob extends PlanKey {
	readonly step_id: string
	readonly attempt: number
}

/** Runs a job; it settles when the attempt has ended. A job whose attempt is no longer due ends at once. */
export type RunJob = (job: StepJob) => Promise<void>

/**
 * Where attempts wait for a worker. The queue knows no plan: a job may be stale by the time it runs, and whoever runs it
 * asks the log first. A job is told from others by its plan, step and attempt.
 */
export interface StepQueue {
	/** Adds a job to run after a delay. The same job again, while it waits or runs, changes nothing. */
	add(job: StepJob, delay_ms: number): void
	/** Starts taking jobs. */
	start(run: RunJob): void
	/** Takes no more jobs and forgets those that wait; resolves when the running ones have ended. */
	close(): Promise<void>
	/** Jobs that wait and jobs that run. */
	report(): { readonly waiting: number; readonly running: number }
}

/** The queue of one process: jobs wait on timers and run on this event loop. What it forgets in a crash the log brings back. */
export class InProcessQueue implements StepQueue {
	readonly #waiting = new Map<string, NodeJS.Timeout | NodeJS.Immediate>()
	readonly #running = new Map<string, Promise<void>>()
	readonly #onProblem: (sentence: string, thrown: unknown) => void
	#run: RunJob | null = null
	#closed = false

	constructor(onProblem: (sentence: string, thrown: unknown) => void) {
		this.#onProblem = onProblem
	}

	add(job: StepJob, delay_ms: number): void {
		const key = `${job.tenant}\n${job.plan_id}\n${job.step_id}\n${job.attempt}`
		if (this.#closed || this.#waiting.has(key) || this.#running.has(key)) return
		const begin = () => this.#begin(key, job)
		this.#waiting.set(key, delay_ms <= 0 ? setImmediate(begin) : setTimeout(begin, delay_ms))
	}

	start(run: RunJob): void {
		this.#run = run
	}

	async close(): Promise<void> {
		this.#closed = true
		for (const timer of this.#waiting.values()) {
			clearTimeout(timer as NodeJS.Timeout)
			clearImmediate(timer as NodeJS.Immediate)
		}
		this.#waiting.clear()
		await Promise.all(this.#running.values())
	}

	report(): { readonly waiting: number; readonly running: number } {
		return { waiting: this.#waiting.size, running: this.#running.size }
	}

	#begin(key: string, job: StepJob): void {
		this.#waiting.delete(key)
		if (this.#run === null) throw new TypeError('a job was added before the queue was started')
		const ended = this.#run(job)
			.catch((thrown: unknown) => this.#onProblem(`Step ${job.step_id} of plan ${job.plan_id} could not be run.`, thrown))
			.finally(() => this.#running.delete(key))
		this.#running.set(key, ended)
	}
}
