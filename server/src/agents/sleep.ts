import { setTimeout } from 'node:timers/promises'

/** Waits in real time; rejects when the signal aborts. */
export type Sleep = (ms: number, signal?: AbortSignal) => Promise<void>

export const sleepInRealTime: Sleep = async (ms, signal) => {
	await setTimeout(ms, undefined, signal === undefined ? {} : { signal })
}
