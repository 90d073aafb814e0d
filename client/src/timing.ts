import { PlanstreamError } from '@planstream/shared'

/** The clock and timers of a client; a test passes its own. */
export interface Clock {
	/** Milliseconds since a fixed moment; never goes back. */
	now(): number
	/**
	 * Runs a function once, after a delay.
	 *
	 * @param ms - delay in milliseconds
	 * @returns a function that cancels the timer
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

/** Longest delay of a runtime's timer in milliseconds, about 24.8 days; a longer one would fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1

/** Limits the delays of a clock to the longest that timers of a runtime have. */
export function limitDelays(clock: Clock): Clock {
	return { now: () => clock.now(), after: (ms, run) => clock.after(Math.min(ms, MAX_TIMER_MS), run) }
}

/** Resolves after the delay, or when the signal aborts. */
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

/** The delay between attempts, in milliseconds. */
export interface Backoff {
	/** Upper bound of the first delay. */
	readonly initialMs: number
	/** Multiplies the bound after each failure. */
	readonly factor: number
	/** Upper bound of every delay. */
	readonly maxMs: number
}

export const DEFAULT_BACKOFF: Backoff = { initialMs: 500, factor: 2, maxMs: 30_000 }

/** Keeps the growth finite: 0 times infinity is NaN. */
const MAX_GROWTH = Number.MAX_VALUE

/**
 * Draws a delay of exponential backoff with full jitter: uniform between 0 and the bound, so that the clients of a restarted server
 * do not all reconnect at the same moment.
 *
 * @param failures - failed attempts in a row, at least 1
 * @param random - draws from 0 (inclusive) to 1 (exclusive)
 * @returns the delay in milliseconds
 */
export function drawBackoffDelay(failures: number, random: () => number, { initialMs, factor, maxMs }: Backoff): number {
	const bound = Math.min(initialMs, MAX_TIMER_MS) * Math.min(factor ** (failures - 1), MAX_GROWTH)
	return Math.min(maxMs, bound, MAX_TIMER_MS) * random()
}

/** An abort controller that follows other signals until it is unlinked. */
export interface LinkedController extends AbortController {
	/** Stops following the signals. */
	unlink(): void
}

/** Makes a controller that aborts with the given signals. (`AbortSignal.any` keeps its listeners while those signals live.) */
export function linkController(...signals: readonly (AbortSignal | undefined)[]): LinkedController {
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

/** Awaits a promise, but rejects when the signal aborts first. */
export function awaitUnlessAborted<Value>(awaited: Promise<Value>, signal: AbortSignal): Promise<Value> {
	return new Promise((resolve, reject) => {
		const abort = (): void => reject(signal.reason)
		signal.addEventListener('abort', abort)
		if (signal.aborted) abort()
		awaited.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
	})
}

/** The lifetime of one client. Closing it aborts everything that runs on its behalf, and whatever would start later. */
export class Lifetime {
	readonly #running = new Set<AbortController>()
	#closed = false

	/** @throws PlanstreamError `illegal_transition` if the client is closed */
	assertOpen(): void {
		if (this.#closed) throw createClosedError()
	}

	enter(controller: AbortController): void {
		if (this.#closed) controller.abort(createClosedError())
		else this.#running.add(controller)
	}

	leave(controller: AbortController): void {
		this.#running.delete(controller)
	}

	close(): void {
		this.#closed = true
		for (const controller of this.#running) controller.abort(createClosedError())
	}
}

function createClosedError(): PlanstreamError {
	return new PlanstreamError('illegal_transition', 'This client is closed. Make a new one with createPlanstreamClient().')
}
