import type { EndFrame, PlanstreamError, ReadyFrame } from '@planstream/shared'
import type { Fanout, Subscriber } from '../../delivery/fanout.js'
import type { Encoding, StreamTarget } from '../../delivery/target.js'
import type { Principal } from '../../hub/principal.js'
import type { ReadOptions } from '../../hub/reader.js'
import type { StreamItem } from '../../hub/stream.js'
import { encodeBody, type SseContent, type SseContext, type SsePeer, SseStream, type SseStreamOptions } from './stream.js'

/** A dialect of server-sent events, shared by all its streams. */
export interface SseDialect {
	readonly name: string
	encode(item: StreamItem): string
	/** Encodes a sign of life. */
	heartbeat(plan_id: string, cursor: string): string
	/** Encodes what follows the last item; null: nothing. */
	encodeEnd(end: EndFrame): string | null
	/** Encodes the reason why a stream failed after a cursor. */
	encodeFailure(thrown: unknown, plan_id: string, cursor: string): string
}

/** Answers a request once its first frame is known. Released after that, because it refers to the request. */
export interface SseBeginning {
	/** Called with the first frame. @returns false when the response is not a stream */
	begin(stream: SseStream, ready: ReadyFrame): boolean
	/** Called when the reader leaves before that. */
	onReaderGone(): void
	/** Called when the stream fails before that. */
	onFailure(thrown: unknown): void
}

export interface SsePlanStreamOptions {
	readonly stream: SseStreamOptions
	readonly dialect: SseDialect
	readonly peer: SsePeer
	readonly plan_id: string
	/** null: the response does not wait for the first frame. */
	readonly beginning: SseBeginning | null
}

/** The stream of one plan over a response. */
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

	/** Created on access: a broadcast group keeps one for all its readers, so an idle stream need not. */
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

	turn(signal?: AbortSignal): Promise<Disposable | null> {
		return this.sink.turn(signal)
	}

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
