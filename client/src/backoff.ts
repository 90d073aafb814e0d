/** How long to wait between attempts; times in milliseconds. */
export interface Backoff {
	/** Upper bound of the first delay. */
	readonly initialMs: number
	/** What the bound is multiplied with after each failure. */
	readonly factor: number
	/** The bound never exceeds this. */
	readonly maxMs: number
}

export const DEFAULT_BACKOFF: Backoff = { initialMs: 500, factor: 2, maxMs: 30_000 }

/** Keeps the power finite: 0 times infinity would be no number. */
const MAX_EXPONENT = 64

/**
 * Exponential backoff with full jitter: uniform between 0 and the bound, so that the clients of a server that went
 * away do not come back at one moment.
 *
 * @param failures - failed attempts in a row, at least 1
 * @param random - draws from 0 (inclusive) to 1 (exclusive)
 * @returns the delay in milliseconds
 */
export function backoffDelay(failures: number, random: () => number, { initialMs, factor, maxMs }: Backoff): number {
	return Math.min(maxMs, initialMs * factor ** Math.min(failures - 1, MAX_EXPONENT)) * random()
}
