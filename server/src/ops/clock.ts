/** Calls back once after a delay in milliseconds, unless the returned handle is disposed first. */
export type Schedule = (callback: () => void, delayMs: number) => Disposable

/** Longest delay of a timer in milliseconds, about 24.8 days; a longer one would fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1

/** Uses timers that do not keep the process alive: for pings, sweeps and retries that end with it. */
export const processSchedule: Schedule = (callback, delayMs) => startTimer(callback, delayMs).unref()

/** Uses timers that keep the process alive: a step that waits for one is work to finish. */
export const keepAliveSchedule: Schedule = (callback, delayMs) => startTimer(callback, delayMs)

function startTimer(callback: () => void, delayMs: number): NodeJS.Timeout {
	return setTimeout(callback, Math.min(delayMs, MAX_TIMER_MS))
}

/** How far the wall clock must be behind before it is reported: corrections of less are everyday. */
const REPORTED_MS = 1000

/**
 * Makes a clock of milliseconds since 1970 that never goes back: when the wall clock is set back, it continues at the pace of
 * elapsed time until the wall clock has caught up, so that timeouts fire and durations are right.
 *
 * @param onSetBack - called once each time the wall clock was set back, with the milliseconds that it is behind
 */
export function createSteadyClock(
	onSetBack: (behindMs: number) => void,
	{ wall = () => Date.now(), elapsed = () => performance.now() }: { wall?: () => number; elapsed?: () => number } = {},
): () => number {
	let last = wall()
	let readAt = elapsed()
	let isBehind = false
	return () => {
		const at = elapsed()
		const steady = last + at - readAt
		const now = wall()
		last = Math.max(now, steady)
		readAt = at
		const wasBehind = isBehind
		isBehind = steady - now > REPORTED_MS
		if (isBehind && !wasBehind) onSetBack(Math.round(steady - now))
		return Math.floor(last)
	}
}
