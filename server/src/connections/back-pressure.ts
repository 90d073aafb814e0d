import { PlanstreamError } from '@planstream/shared'

/** The writing side of a connection: a socket or an HTTP response. */
export interface Sink {
	/** True when a write found the buffer full and `drain` has not come since. */
	readonly writableNeedDrain: boolean
	on(event: 'drain' | 'close', listener: () => void): unknown
	off(event: 'drain' | 'close', listener: () => void): unknown
}

/** Resolves at once while fewer than `limit` bytes are queued; else when the sink has drained or closed, or the signal aborts. */
export async function drained(sink: Sink, queued: () => number, limit: number, signal?: AbortSignal): Promise<void> {
	while (signal?.aborted !== true && sink.writableNeedDrain && queued() >= limit) await drainOrEnd(sink, signal)
}

function drainOrEnd(sink: Sink, signal?: AbortSignal): Promise<void> {
	return new Promise((resolve) => {
		const done = (): void => {
			sink.off('drain', done)
			sink.off('close', done)
			signal?.removeEventListener('abort', done)
			resolve()
		}
		sink.on('drain', done)
		sink.on('close', done)
		signal?.addEventListener('abort', done)
	})
}

/** Resolves when the signal aborts. */
export function aborted(signal: AbortSignal): Promise<void> {
	return new Promise((resolve) => {
		if (signal.aborted) resolve()
		else signal.addEventListener('abort', () => resolve(), { once: true })
	})
}

/** A connection that notices how long nothing has moved on it. */
export interface IdleSink extends Sink {
	setTimeout(delayMs: number): unknown
	on(event: 'drain' | 'close' | 'timeout', listener: () => void): unknown
}

/** How a connection is given up that takes nothing. */
export interface StallEnds {
	/** Asks it to end; what waits for it may still be taken. */
	readonly leave: (reason: PlanstreamError) => void
	/** Closes it at once. */
	readonly terminate: () => void
}

/**
 * Ends a connection that has taken nothing of what waits for it for so long, and closes it when that lasts as long again. A connection
 * that takes what it gets has no timer.
 */
export class StallWatch {
	readonly #sink: IdleSink
	readonly #timeoutMs: number
	#isArmed = false

	constructor(sink: IdleSink, timeoutMs: number, { leave, terminate }: StallEnds) {
		this.#sink = sink
		this.#timeoutMs = timeoutMs
		let isLeaving = false
		sink.on('timeout', () => {
			if (!sink.writableNeedDrain) return
			if (isLeaving) terminate()
			else leave(stalled())
			isLeaving = true
			sink.setTimeout(timeoutMs)
		})
		sink.on('drain', () => {
			if (this.#isArmed) sink.setTimeout(0)
			this.#isArmed = false
		})
	}

	/** To be called when a write finds no room. */
	arm(): void {
		if (!this.#isArmed) this.#sink.setTimeout(this.#timeoutMs)
		this.#isArmed = true
	}
}

function stalled(): PlanstreamError {
	return new PlanstreamError('slow_consumer', 'Nothing was taken of what waits for this connection. Connect again to go on.')
}
