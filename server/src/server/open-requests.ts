import type { ServerResponse } from 'node:http'
import { OpenSet } from '../connections/open-set.js'

/** The requests that are being answered; a connection that has asked nothing yet is none. */
export class OpenRequests {
	readonly #open = new OpenSet<ServerResponse>()
	readonly #whenOver: (this: ServerResponse) => void

	constructor() {
		const open = this.#open
		// One listener for all answers: a stream is one for as long as it lasts.
		this.#whenOver = function () {
			open.delete(this)
		}
	}

	/** Counts a request in until its answer is over. */
	add(outgoing: ServerResponse): void {
		if (outgoing.closed) return
		this.#open.add(outgoing)
		outgoing.on('close', this.#whenOver)
	}

	/** Resolves when none is left. */
	answered(): Promise<void> {
		return this.#open.empty()
	}

	/** Cuts what is still being answered. */
	cut(): void {
		for (const outgoing of this.#open) outgoing.destroy()
	}
}
