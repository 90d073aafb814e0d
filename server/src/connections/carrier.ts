/** How a caller's connection carries streams and answers. Each transport has its own; every procedure honours it. */
export interface Carrier {
	/**
	 * Counts a stream in until it is disposed.
	 *
	 * @param plan_id - null for a stream of no plan
	 * @throws PlanstreamError `too_many_connections`, `draining`; `bad_request` when the connection carries as many streams as it may
	 */
	begin(plan_id: string | null): CarriedStream
	/** Lets a call be worked on when the connection may have another one, and gives its answer back when the connection takes it. */
	call<Answer>(work: () => Promise<Answer>): Promise<Answer>
	/** Aborts when a connection of many calls is closed; where each call has a connection, the call's own signal says so. */
	readonly closed?: AbortSignal
}

export interface CarriedStream extends Disposable {
	/**
	 * Resolves when the connection takes the next item of this stream; it is given over before the turn is disposed.
	 *
	 * @returns null when the signal aborted and there is no room
	 */
	turn(signal: AbortSignal): Promise<Disposable | null>
	/** An event was given over. */
	delivered(): void
	/**
	 * Closes the stream so that the stock client resumes it, after an `end` that asks for that or where there is no room for one. It
	 * never resolves before the signal aborts; it may reject with an `AbortError`, which has to reach the transport as it is.
	 */
	cut(signal: AbortSignal): Promise<void>
}
