import { PlanstreamError } from '@planstream/shared'

/** The writing side of a connection: a socket or an HTTP response. */
export interface Sink {
	/** True when a write found the buffer full and `drain` has not come since. */
	readonly writableNeedDrain: boolean
	on(event: 'drain' | 'close', listener: () => void): unknown
	off(event: 'drain' | 'close', listener: () => void): unknown
}

/** The writing end of a connection, and how much may wait in it. */
export interface SendBuffer {
	readonly sink: Sink
	/** Bytes that wait. */
	readonly queued: number
	/** Bytes from which on nothing more is written. */
	readonly limit: number
}

/** Whether the reader has to take something before more is written. */
export function isFull(buffer: SendBuffer): boolean {
	return buffer.sink.writableNeedDrain && buffer.queued >= buffer.limit
}

/** Resolves at once while there is room; else when the sink has drained or closed, or the signal aborts. */
export async function drained(buffer: SendBuffer, signal?: AbortSignal): Promise<void> {
	while (signal?.aborted !== true && isFull(buffer)) await drainOrEnd(buffer.sink, signal)
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

/** What tells that nothing has moved on a connection for as long as was set. */
export interface IdleSource {
	on(event: 'timeout', listener: () => void): unknown
	off(event: 'timeout', listener: () => void): unknown
}

/** A connection that notices how long nothing has moved on it. */
export interface IdleSink extends IdleSource {
	readonly writableNeedDrain: boolean
	setTimeout(delayMs: number): unknown
	once(event: 'drain', listener: () => void): unknown
}

/** How a connection is given up that takes nothing. */
export interface StallEnds {
	/** Asks it to end; what waits for it may still be taken. */
	leave(reason: PlanstreamError): void
	/** Closes it at once. */
	terminate(): void
}

/**
 * Ends a connection that has taken nothing of what waits for it for so long, and closes it when that lasts as long again. A connection
 * that takes what it gets has neither a timer nor a listener.
 */
export class StallWatch {
	readonly #sink: IdleSink
	readonly #idle: IdleSource
	readonly #timeoutMs: number
	readonly #ends: StallEnds
	#isArmed = false
	#isLeaving = false

	/** @param idle - who tells of the sink's silence. @defaultValue the sink itself */
	constructor(sink: IdleSink, timeoutMs: number, ends: StallEnds, idle: IdleSource = sink) {
		this.#sink = sink
		this.#idle = idle
		this.#timeoutMs = timeoutMs
		this.#ends = ends
	}

	/** To be called when a write finds no room. */
	arm(): void {
		if (this.#isArmed) return
		this.#isArmed = true
		const onIdle = (): void => this.#giveUp()
		this.#idle.on('timeout', onIdle)
		this.#sink.setTimeout(this.#timeoutMs)
		this.#sink.once('drain', () => {
			this.#idle.off('timeout', onIdle)
			this.#sink.setTimeout(0)
			this.#isArmed = false
		})
	}

	#giveUp(): void {
		if (!this.#sink.writableNeedDrain) return
		if (this.#isLeaving) this.#ends.terminate()
		else this.#ends.leave(stalled())
		this.#isLeaving = true
		this.#sink.setTimeout(this.#timeoutMs)
	}
}

function stalled(): PlanstreamError {
	return new PlanstreamError('slow_consumer', 'Nothing was taken of what waits for this connection. Connect again to go on.')
}
