import { cursorOf, type StreamItem } from '../hub/stream-item.js'
import type { Outlet } from './delivery.js'
import { HEARTBEAT_BLOCK, itemBlock } from './sse-frames.js'
import { type SseConnection, type SseOptions, SseResponse } from './sse-response.js'

/** A response that carries one plan's stream. Disposing it ends the response. */
export class SseOutlet implements Outlet, Disposable {
	readonly #plan_id: string
	readonly #of: SseConnection
	readonly #response: SseResponse
	#cursor: string | null = null

	constructor(plan_id: string, of: SseConnection, options: SseOptions) {
		this.#plan_id = plan_id
		this.#of = of
		this.#response = new SseResponse(of, options, () => this.#beat())
	}

	/** Where the reader resumes; null before its first item. */
	get cursor(): string | null {
		return this.#cursor
	}

	write(item: StreamItem): void {
		this.#cursor = cursorOf(item)
		this.#response.send(itemBlock(item))
		if (item.kind === 'event') this.#of.connection.delivered()
	}

	turn(signal: AbortSignal): Promise<Disposable | null> {
		return this.#response.turn(signal)
	}

	[Symbol.dispose](): void {
		this.#response[Symbol.dispose]()
	}

	/** A comment shows life to everybody, the position also moves the cursor of who resumes. */
	#beat(): string {
		if (this.#cursor === null) return HEARTBEAT_BLOCK
		const frame = { frame: 'position', plan_id: this.#plan_id, cursor: this.#cursor } as const
		return HEARTBEAT_BLOCK + itemBlock({ kind: 'frame', frame })
	}
}
