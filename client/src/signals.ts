/** A controller that is aborted with any of the given signals, until it is let go. */
export interface LinkedController extends AbortController {
	/** Takes the listeners off the signals. */
	unlink(): void
}

/** (`AbortSignal.any` keeps its listeners for as long as the given signals live.) */
export function linkedController(signals: readonly (AbortSignal | undefined)[]): LinkedController {
	const controller = new AbortController()
	const abort = (): void => controller.abort()
	for (const signal of signals) {
		if (signal?.aborted) abort()
		signal?.addEventListener('abort', abort)
	}
	return Object.assign(controller, {
		unlink: () => {
			for (const signal of signals) signal?.removeEventListener('abort', abort)
		},
	})
}
