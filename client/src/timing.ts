import { PlanstreamError } from '@planstream/shared'

/** Time as the client sees it. Tests bring their own. */
export interface Clock {
	/** Milliseconds since some fixed moment; never goes back. */
	now(): number
	/**
	 * Runs something once, later.
	 *
	 * @param ms - delay in milliseconds
	 * @returns cancels it
	 */
	after(ms: number, run: () => void): () => void
}

export const systemClock: Clock = {
	now: () => performance.now(),
	after: (ms, run) => {
		const timer = setTimeout(run, ms)
		return () => clearTimeout(timer)
	},
}

/** Resolves when the time is over or the signal is aborted, whichever is first. */
export function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
	if (signal.aborted) return Promise.resolve()
	return new Promise((resolve) => {
		const done = (): void => {
			cancel()
			signal.removeEventListener('abort', done)
			resolve()
		}
		const cancel = clock.after(ms, done)
		signal.addEventListener('abort', done)
	})
}

/** How long to wait between attempts; times in milliseconds. */
export interface Backoff {
	/** Upper bound of the first delay. */
	readonly initialMs: number
	/** What the bound is multiplied with after each failure. */
	readonly factor: number
	/** The bound never exceeds this. */
	readonly maxMs: number
}

export const DEFAULT_BACKOFF: Backoff = { initialMs: 500, factor: 2, maxMs: 30_000 }

/** Keeps the power finite: 0 times infinity would be no number. */
const MAX_EXPONENT = 64

/**
 * Exponential backoff with full jitter: uniform between 0 and the bound, so that the clients of a server that went
 * away do not come back at one moment.
 *
 * @param failures - failed attempts in a row, at least 1
 * @param random - draws from 0 (inclusive) to 1 (exclusive)
 * @returns the delay in milliseconds
 */
export function backoffDelay(failures: number, random: () => number, { initialMs, factor, maxMs }: Backoff): number {
	return Math.min(maxMs, initialMs * factor ** Math.min(failures - 1, MAX_EXPONENT)) * random()
}

/** A controller that signals abort too, until it is let go. */
export interface LinkedController extends AbortController {
	/** Takes the listener off the signals. */
	unlink(): void
}

/** (`AbortSignal.any` keeps its listeners for as long as the given signals live.) */
export function linkedController(...signals: readonly (AbortSignal | undefined)[]): LinkedController {
	const controller = new AbortController()
	const unlinks = signals.map((signal) => {
		const abort = (): void => controller.abort(signal?.reason)
		if (signal?.aborted) abort()
		signal?.addEventListener('abort', abort)
		return () => signal?.removeEventListener('abort', abort)
	})
	const unlink = (): void => {
		for (const each of unlinks) each()
	}
	return Object.assign(controller, { unlink })
}

/** Waits for something no longer than until the signal aborts. */
export function unlessAborted<Value>(awaited: Promise<Value>, signal: AbortSignal): Promise<Value> {
	return new Promise((resolve, reject) => {
		const abort = (): void => reject(signal.reason)
		signal.addEventListener('abort', abort)
		if (signal.aborted) abort()
		awaited.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
	})
}

/** What runs on behalf of one client. Closing it ends all that runs, and whatever would begin later. */
export class Lifetime {
	readonly #running = new Set<AbortController>()
	#closed = false

	/** @throws PlanstreamError `illegal_transition` when it is closed */
	assertOpen(): void {
		if (this.#closed) throw closedError()
	}

	enter(controller: AbortController): void {
		if (this.#closed) controller.abort(closedError())
		else this.#running.add(controller)
	}

	leave(controller: AbortController): void {
		this.#running.delete(controller)
	}

	close(): void {
		this.#closed = true
		for (const controller of this.#running) controller.abort(closedError())
	}
}

function closedError(): PlanstreamError {
	return new PlanstreamError('illegal_transition', 'This client was closed. Make another with createPlanstream().')
}
