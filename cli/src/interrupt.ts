import { once } from 'node:events'

/** The wish of a person to leave. */
export interface Interrupt extends Disposable {
	readonly signal: AbortSignal
	/** Resolves when it has come. */
	readonly happened: Promise<unknown>
}

/** Listens for Ctrl-C, or SIGTERM, once; a second one ends the process as usual. */
export function untilInterrupted(): Interrupt {
	const controller = new AbortController()
	const { signal } = controller
	const stop = () => {
		release()
		controller.abort()
	}
	const release = () => {
		process.off('SIGINT', stop)
		process.off('SIGTERM', stop)
	}
	process.on('SIGINT', stop)
	process.on('SIGTERM', stop)
	return { signal, happened: once(signal, 'abort'), [Symbol.dispose]: release }
}
