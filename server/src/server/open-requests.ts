import type { ServerResponse } from 'node:http'

/** The requests that are being answered; a connection that has asked nothing yet is none. */
export class OpenRequests {
	readonly #open = new Set<ServerResponse>()
	readonly #whenOver: (this: ServerResponse) => void
	#whenAnswered: (() => void)[] = []

	constructor() {
		const close = (outgoing: ServerResponse): void => this.#close(outgoing)
		// One listener for all answers: a stream is one for as long as it lasts.
		this.#whenOver = function () {
			close(this)
		}
	}

	/** Counts a request in until its answer is over. */
	add(outgoing: ServerResponse): void {
		if (outgoing.closed) return
		this.#open.add(outgoing)
		outgoing.on('close', this.#whenOver)
	}

	/** Resolves when none is left. */
	async answered(): Promise<void> {
		if (this.#open.size > 0) await new Promise<void>((resolve) => this.#whenAnswered.push(resolve))
	}

	/** Cuts what is still being answered. */
	cut(): void {
		for (const outgoing of this.#open) outgoing.destroy()
	}

	#close(outgoing: ServerResponse): void {
		this.#open.delete(outgoing)
		if (this.#open.size > 0) return
		const waiting = this.#whenAnswered
		this.#whenAnswered = []
		for (const resolve of waiting) resolve()
	}
}
