/**
 * Calls a function of the application that only listens. What it throws is reported as an uncaught error and changes nothing else: the
 * caller has work to go on with that is not the listener's.
 */
export function notify<Value>(listener: (value: Value) => void, value: Value): void {
	try {
		listener(value)
	} catch (error) {
		report(error)
	}
}

function report(error: unknown): void {
	if (typeof reportError === 'function') {
		reportError(error)
		return
	}
	queueMicrotask(() => {
		throw error
	})
}

/** Carries what a callback of a subscription threw to the end of its loop, past the handling of errors of the server. */
export class CallbackFailed extends Error {
	override readonly name = 'CallbackFailed'
}

/** Calls a function that belongs to one loop. @throws CallbackFailed with what it threw as its `cause` */
export function callWithin<Value>(callback: ((value: Value) => void) | undefined, value: Value): void {
	try {
		callback?.(value)
	} catch (cause) {
		throw new CallbackFailed('A callback of the subscription threw.', { cause })
	}
}
