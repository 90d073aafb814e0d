/** Calls back once after a delay in milliseconds, unless it is disposed before. */
export type Schedule = (callback: () => void, delayMs: number) => Disposable

/** The timers of this process; none of them keeps it alive. */
export const processSchedule: Schedule = (callback, delayMs) => setTimeout(callback, delayMs).unref()
