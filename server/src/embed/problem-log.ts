import { PlanstreamError } from '@planstream/shared'
import type { OnProblem } from '../api/procedure.js'
import type { Logger } from '../ops/logger.js'
import { RateLimiter } from '../ops/rate-limiter.js'

/** Refusals logged per second; see PROTOCOL.md section 7. */
const REFUSALS_PER_S = 5
/** Refusals logged at once. */
const REFUSALS_BURST = 50
const REFUSALS = 'refusals'

/**
 * Logs failures as errors, and refusals as warnings without a stack. Anybody can cause refusals, so beyond a rate they are counted and the
 * next line says how many were left out. No line holds a key.
 *
 * @param clock - monotonic milliseconds
 */
export function createProblemLog(logger: Pick<Logger, 'error' | 'warn'>, clock: () => number): OnProblem {
	const rate = new RateLimiter(clock)
	let leftOut = 0
	return (message, error, facts) => {
		if (!(error instanceof PlanstreamError) || (error.code !== 'unauthorized' && error.code !== 'forbidden')) {
			logger.error({ err: error, ...facts }, message)
			return
		}
		if (!rate.take(REFUSALS, REFUSALS_PER_S, REFUSALS_BURST)) {
			leftOut += 1
			return
		}
		const { code, message: reason } = error
		logger.warn({ code, reason: reason.slice(0, MAX_REASON), ...facts, ...(leftOut > 0 && { left_out: leftOut }) }, message)
		leftOut = 0
	}
}

/** Characters of a reason: it may quote the origin of a page, or what an agent threw. */
export const MAX_REASON = 300
