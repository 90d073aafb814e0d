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
