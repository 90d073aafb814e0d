import { PlanstreamError } from '@planstream/shared'

/** What runs on behalf of one client. Closing it ends all that runs, and whatever would begin later. */
export class Scope {
	readonly #running = new Set<AbortController>()
	#closed = false

	/** @throws PlanstreamError `illegal_transition` when it is closed */
	assertOpen(): void {
		if (this.#closed) throw closedError()
	}

	enter(controller: AbortController): void {
		if (this.#closed) controller.abort(closedError())
		else this.#running.add(controller)
	}

	leave(controller: AbortController): void {
		this.#running.delete(controller)
	}

	close(): void {
		this.#closed = true
		for (const controller of this.#running) controller.abort(closedError())
	}
}

function closedError(): PlanstreamError {
	return new PlanstreamError('illegal_transition', 'This client was closed. Make another with createPlanstream().')
}
