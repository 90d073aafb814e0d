/** A controller that a signal aborts too, until it is let go. */
export interface LinkedController extends AbortController {
	/** Takes the listener off the signal. */
	unlink(): void
}

/** (`AbortSignal.any` keeps its listeners for as long as the given signal lives.) */
export function linkedController(signal: AbortSignal | undefined): LinkedController {
	const controller = new AbortController()
	const abort = (): void => controller.abort(signal?.reason)
	if (signal?.aborted) abort()
	signal?.addEventListener('abort', abort)
	return Object.assign(controller, { unlink: () => signal?.removeEventListener('abort', abort) })
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
