/** A signal that lets go of what it listens to when it is disposed. */
export interface JoinedSignal extends Disposable {
	readonly signal: AbortSignal
}

/**
 * Aborts with the first of these signals, and with its reason. Unlike `AbortSignal.any` it leaves nothing behind on a signal that
 * lives as long as the server.
 *
 * @param given - an absent one never aborts
 */
export function joinSignals(...given: readonly (AbortSignal | undefined)[]): JoinedSignal {
	const signals = given.filter((signal) => signal !== undefined)
	const joined = new AbortController()
	const abort = (event: Event): void => joined.abort((event.target as AbortSignal).reason)
	for (const signal of signals) signal.addEventListener('abort', abort)
	const first = signals.find((signal) => signal.aborted)
	if (first !== undefined) joined.abort(first.reason)
	return {
		signal: joined.signal,
		[Symbol.dispose]: () => {
			for (const signal of signals) signal.removeEventListener('abort', abort)
		},
	}
}

/** Resolves when the signal aborts. */
export function aborted(signal: AbortSignal): Promise<void> {
	return new Promise((resolve) => {
		if (signal.aborted) resolve()
		else signal.addEventListener('abort', () => resolve(), { once: true })
	})
}
