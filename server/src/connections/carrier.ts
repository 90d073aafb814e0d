/** How a caller's connection carries streams. Each transport has its own; a procedure that yields a stream honours it. */
export interface Carrier {
	/**
	 * Counts a stream in until it is disposed.
	 *
	 * @throws PlanstreamError `too_many_connections`, `draining`; `bad_request` when the connection carries as many streams as it may
	 */
	begin(plan_id: string): CarriedStream
}

export interface CarriedStream extends Disposable {
	/** Resolves when the connection takes the next item, when it is closed, or when the signal aborts; a stream awaits it after each item. */
	drained(signal: AbortSignal): Promise<void>
	/**
	 * Closes the stream so that the stock client resumes it, after an `end` that asks for that. It never resolves before the signal
	 * aborts; it may reject with an `AbortError`, which has to reach the transport as it is.
	 */
	cut(signal: AbortSignal): Promise<void>
}
