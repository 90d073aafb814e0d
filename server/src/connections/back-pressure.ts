/** What a connection is written to: its socket, or the compressor before it. */
export interface Writable {
	/** True when a write found the buffer full and `drain` has not come since. */
	readonly writableNeedDrain: boolean
	on(event: 'drain' | 'close', listener: () => void): unknown
	off(event: 'drain' | 'close', listener: () => void): unknown
}

/** The writing end of a connection, and how much may wait in it. */
export interface SendBuffer {
	readonly writable: Writable
	/** Bytes that wait. */
	readonly queued: number
	/** Bytes from which on nothing more is written. */
	readonly limit: number
}

/** Whether the reader has to take something before more is written. */
export function isFull(buffer: SendBuffer): boolean {
	return buffer.writable.writableNeedDrain && buffer.queued >= buffer.limit
}

/** Resolves at once while there is room; else when what was written has drained or the connection has closed, or the signal aborts. */
export async function drained(buffer: SendBuffer, signal?: AbortSignal): Promise<void> {
	while (signal?.aborted !== true && isFull(buffer)) await drainOrEnd(buffer.writable, signal)
}

function drainOrEnd(writable: Writable, signal?: AbortSignal): Promise<void> {
	return new Promise((resolve) => {
		const done = (): void => {
			writable.off('drain', done)
			writable.off('close', done)
			signal?.removeEventListener('abort', done)
			resolve()
		}
		writable.on('drain', done)
		writable.on('close', done)
		signal?.addEventListener('abort', done)
	})
}
