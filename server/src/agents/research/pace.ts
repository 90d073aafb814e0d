import { setImmediate } from 'node:timers/promises'

/** So many units of work are done before the event loop gets its turn: about a millisecond of splitting or hashing. */
const UNITS_A_TURN = 64

/**
 * A function to await after each unit of work: it gives the event loop its turn now and then, so that the
 * server stays responsive, and throws the signal's reason as soon as it is aborted.
 */
export function pacer(signal: AbortSignal, every = UNITS_A_TURN): () => Promise<void> {
	let done = 0
	return async () => {
		signal.throwIfAborted()
		done++
		if (done % every === 0) await setImmediate(undefined, { signal })
	}
}
