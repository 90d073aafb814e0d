import type { EndFrame, PlanstreamError, ReadyFrame } from '@planstream/shared'
import type { Fanout, Subscriber } from '../../delivery/fanout.js'
import type { Encoding, StreamTarget } from '../../delivery/target.js'
import type { Principal } from '../../hub/principal.js'
import type { ReadOptions } from '../../hub/reader.js'
import type { StreamItem } from '../../hub/stream.js'
import { encodeBody, type SseContent, type SseContext, type SsePeer, SseStream, type SseStreamOptions } from './stream.js'

/** What one dialect of server-sent events does that the other does not; all its streams share it. */
export interface SseDialect {
	readonly name: string
	/** An item as an event of the stream. */
	encode(item: StreamItem): string
	/** A sign of life. */
	heartbeat(plan_id: string, cursor: string): string
	/** What comes after the last item; null: nothing. */
	encodeEnd(end: EndFrame): string | null
	/** Tells why a stream broke off behind a cursor. */
	encodeFailure(thrown: unknown, plan_id: string, cursor: string): string
}

/** How a request is answered whose answer depends on the first frame; it knows the request, and is let go of with it. */
export interface SseBeginning {
	/** Called with the first frame. @returns false when the answer is no stream */
	begin(stream: SseStream, ready: ReadyFrame): boolean
	/** The reader has left before that. */
	onReaderGone(): void
	/** It failed before that. */
	onFailure(thrown: unknown): void
}

export interface SsePlanStreamOptions {
	readonly stream: SseStreamOptions
	readonly dialect: SseDialect
	readonly peer: SsePeer
	readonly plan_id: string
	/** null: the response begins without it. */
	readonly beginning: SseBeginning | null
}

/** A response that carries one plan's stream. */
export class SsePlanStream implements StreamTarget, SseContent {
	readonly plan_id: string
	readonly sink: SseStream
	readonly #dialect: SseDialect
	#beginning: SseBeginning | null
	#subscriber: Subscriber | null = null

	/** @throws PlanstreamError `too_many_connections`, `draining` */
	constructor(context: SseContext, { stream, dialect, peer, plan_id, beginning }: SsePlanStreamOptions) {
		this.plan_id = plan_id
		this.#dialect = dialect
		this.#beginning = beginning
		this.sink = new SseStream(context, stream, peer, this)
	}

	deliver(fanout: Fanout, principal: Principal, request: ReadOptions): void {
		this.#subscriber = fanout.deliver(principal, this.plan_id, request, this)
	}

	/** Made when it is looked at, so that a stream at rest has none: a class of readers has one for all of them. */
	get encoding(): Encoding {
		const { name, encode } = this.#dialect
		const { isChunked } = this.sink
		return { key: `${name} ${isChunked}`, encode: (item) => encodeBody(encode(item), isChunked) }
	}

	get delivered(): number {
		return this.#subscriber?.delivered ?? 0
	}

	begin(ready: ReadyFrame): boolean {
		const beginning = this.#beginning
		this.#beginning = null
		return beginning?.begin(this.sink, ready) ?? true
	}

	heartbeat(): string {
		return this.#dialect.heartbeat(this.plan_id, this.#subscriber?.cursor ?? '')
	}

	turn(): Promise<Disposable | null> {
		return this.sink.turn()
	}

	/** The connection is to leave. */
	end(reason: PlanstreamError): void {
		this.#subscriber?.end(reason)
	}

	stop(): void {
		this.#subscriber?.[Symbol.dispose]()
		this.sink[Symbol.dispose]()
		this.#beginning?.onReaderGone()
	}

	ended(end: EndFrame): void {
		const last = this.#dialect.encodeEnd(end)
		if (last !== null) this.sink.send(last)
		this.sink[Symbol.dispose]()
	}

	failed(thrown: unknown, cursor: string): void {
		if (this.#beginning === null) this.sink.send(this.#dialect.encodeFailure(thrown, this.plan_id, cursor))
		else this.#beginning.onFailure(thrown)
		this.sink[Symbol.dispose]()
	}
}
