import { once } from 'node:events'
import type { ServerResponse } from 'node:http'

/** The requests that are being answered; a connection that has asked nothing yet is none. */
export class OpenRequests {
	readonly #open = new Map<ServerResponse, Promise<unknown>>()

	/** Counts a request in until its answer is over. */
	add(outgoing: ServerResponse): void {
		if (outgoing.closed) return
		this.#open.set(
			outgoing,
			once(outgoing, 'close').finally(() => this.#open.delete(outgoing)),
		)
	}

	async answered(): Promise<void> {
		while (this.#open.size > 0) await Promise.all(this.#open.values())
	}

	/** Cuts what is still being answered. */
	cut(): void {
		for (const outgoing of this.#open.keys()) outgoing.destroy()
	}
}
