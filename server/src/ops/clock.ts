/** Calls back once after a delay in milliseconds, unless the returned handle is disposed first. */
export type Schedule = (callback: () => void, delayMs: number) => Disposable

/** Uses timers that do not keep the process alive: for pings, sweeps and retries that end with it. */
export const processSchedule: Schedule = (callback, delayMs) => setTimeout(callback, delayMs).unref()

/** Uses timers that keep the process alive: a step that waits for one is work to finish. */
export const keepAliveSchedule: Schedule = (callback, delayMs) => setTimeout(callback, delayMs)
