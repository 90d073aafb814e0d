import { BroadcastChannel } from 'node:worker_threads'

/** The id of the one event that is looked for. */
export const CARRIED_ID = 'carried-event'

/** Deep enough for an event in a batch in the input of a call. */
const DEPTH = 4

/** Files with a function that took or gave the event. Each thread and each copy of this module tells all others. */
const carriers = new Set<string>()
const channel = new BroadcastChannel('planstream-walk')
channel.unref()
channel.onmessage = (message) => void carriers.add((message as { data: string }).data)

/**
 * Notes the file if the value holds the event as an object, as text or as bytes. Instrumented code calls it.
 *
 * @returns the value
 * @public
 */
export function carry<Value>(file: string, value: Value): Value {
	if (!carriers.has(file) && holdsEvent(value, DEPTH)) {
		carriers.add(file)
		channel.postMessage(file)
	}
	return value
}

/** Lists the files that have carried the event so far, in all threads. */
export function readCarriers(): string[] {
	return [...carriers]
}

function holdsEvent(value: unknown, depth: number): boolean {
	if (typeof value === 'string') return value.includes(CARRIED_ID)
	if (typeof value !== 'object' || value === null) return false
	if (ArrayBuffer.isView(value)) return Buffer.from(value.buffer, value.byteOffset, value.byteLength).includes(CARRIED_ID)
	return depth > 0 && Object.values(value).some((part) => holdsEvent(part, depth - 1))
}
