import type { EndFrame, ReadyFrame } from '@planstream/shared'
import type { Outlet, Wire } from '../delivery/outlet.js'
import type { StreamItem } from '../hub/stream-item.js'
import { type SseStream, sseBytes } from './sse-stream.js'

/** What one dialect of server-sent events does that the other does not. */
export interface SseDialect {
	readonly name: string
	/** An item as an event of the stream. */
	block(item: StreamItem): string
	/** What comes after the last item; null: nothing. */
	after(end: EndFrame): string | null
	/** Tells what the stream failed with, whether it has begun or not. */
	tell(thrown: unknown, cursor: string): void
}

/** Begins a response; called with the first frame. @returns false when the answer is no stream */
export type BeginSse = (ready: ReadyFrame) => boolean

/** The outlet of a response that carries one plan's stream. */
export class SseOutlet implements Outlet {
	readonly sink: SseStream
	readonly #dialect: SseDialect
	/** Let go of once it was called, with the request it knows. */
	#begin: BeginSse
	#wire: Wire | null = null

	constructor(stream: SseStream, dialect: SseDialect, begin: BeginSse = stay) {
		this.sink = stream
		this.#dialect = dialect
		this.#begin = begin
	}

	get wire(): Wire {
		this.#wire ??= wireOf(this.#dialect, this.sink.isChunked)
		return this.#wire
	}

	begin(ready: ReadyFrame): boolean {
		const begin = this.#begin
		this.#begin = stay
		return begin(ready)
	}

	turn(): Promise<Disposable | null> {
		return this.sink.turn()
	}

	ended(end: EndFrame): void {
		const after = this.#dialect.after(end)
		if (after !== null) this.sink.send(after)
		this.sink[Symbol.dispose]()
	}

	failed(thrown: unknown, cursor: string): void {
		this.#dialect.tell(thrown, cursor)
		this.sink[Symbol.dispose]()
	}
}

function stay(): true {
	return true
}

function wireOf({ name, block }: SseDialect, isChunked: boolean): Wire {
	return { key: `${name} ${isChunked}`, encode: (item) => sseBytes(block(item), isChunked) }
}
