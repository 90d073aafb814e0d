import { PlanstreamError } from '@planstream/shared'
import { type Backoff, backoffDelay } from './backoff.js'
import type { Calling } from './calling.js'
import { type Clock, pause } from './clock.js'
import { retryAfterMs } from './problem.js'
import type { Scope } from './scope.js'
import { linkedController } from './signals.js'

/** What waiting between attempts needs. */
export interface PersistPorts {
	readonly clock: Clock
	readonly random: () => number
	readonly backoff: Backoff
}

export interface Persistence {
	/** Whether a failure that may pass is worth another attempt. */
	readonly again: (failure: PlanstreamError, failures: number) => boolean
	/** Ends it at the next failure or in the wait behind it; its reason is thrown. */
	readonly signal: AbortSignal
}

/** How often such a call is made at most. */
const ATTEMPTS = 4

/**
 * Attempts something until it succeeds, fails for good, or is not worth another attempt; the last failure is thrown. Between
 * attempts it waits for as long as the server asks and a random time on top.
 */
export async function persist<Output>(
	attempt: () => Promise<Output>,
	{ again, signal }: Persistence,
	{ clock, random, backoff }: PersistPorts,
): Promise<Output> {
	for (let failures = 1; ; failures++) {
		try {
			return await attempt()
		} catch (error) {
			signal.throwIfAborted()
			if (!(error instanceof PlanstreamError && error.retryable) || !again(error, failures)) throw error
			await pause(clock, (retryAfterMs(error) ?? 0) + backoffDelay(failures, random, backoff), signal)
			signal.throwIfAborted()
		}
	}
}

/**
 * The same calls, where one that fails in a way that may pass is made again: a query, which changes nothing, and a command with
 * an idempotency key, which acts once however often it comes. Any other command is sent once.
 */
export function persistentCalls(call: Calling, scope: Scope, ports: PersistPorts): Calling {
	return async (route, input, options = {}) => {
		if (route.kind === 'mutation' && !hasKey(input)) return call(route, input, options)
		const controller = linkedController(options.signal)
		scope.enter(controller)
		try {
			const { signal } = controller
			const again = (_: PlanstreamError, failures: number) => failures < ATTEMPTS
			return await persist(() => call(route, input, { signal }), { again, signal }, ports)
		} finally {
			scope.leave(controller)
			controller.unlink()
		}
	}
}

function hasKey(input: object): boolean {
	return 'idempotency_key' in input && input.idempotency_key !== undefined
}
