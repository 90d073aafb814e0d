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
