import { once } from 'node:events'
import { EXIT } from './failure.js'

/** A terminal sends Ctrl-C to npm and to us, and npm sends it on: what comes again this soon is the same Ctrl-C. */
const SAME_SIGNAL_MS = 300

/** The wish of a person to leave. */
export interface Interrupt extends Disposable {
	readonly signal: AbortSignal
	/** Resolves when it has come. */
	readonly happened: Promise<unknown>
}

/**
 * Listens for Ctrl-C and SIGTERM; a second one ends the process at once. The listeners stay until disposal, because the
 * terminal's cursor is restored by one that ends the process when it is the only one left.
 */
export function untilInterrupted(): Interrupt {
	const controller = new AbortController()
	const { signal } = controller
	let since = Number.POSITIVE_INFINITY
	const stop = () => {
		if (Date.now() - since > SAME_SIGNAL_MS) process.exit(EXIT.interrupted)
		since = Math.min(since, Date.now())
		controller.abort()
	}
	process.on('SIGINT', stop)
	process.on('SIGTERM', stop)
	const release = () => {
		process.off('SIGINT', stop)
		process.off('SIGTERM', stop)
	}
	return { signal, happened: once(signal, 'abort'), [Symbol.dispose]: release }
}
