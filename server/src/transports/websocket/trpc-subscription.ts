import type { EndFrame, PlanstreamError } from '@planstream/shared'
import type { TRPCProcedureType } from '@trpc/server'
import { toReadRequest } from '../../api/input.js'
import { controllerFor, PlanEvents } from '../../api/streams.js'
import type { CarriedStream, Connection } from '../../connections/connections.js'
import type { WriteQueue } from '../../connections/flow.js'
import type { Fanout, Subscriber } from '../../delivery/fanout.js'
import type { ByteSink, Encoding, StreamTarget } from '../../delivery/target.js'
import { encodeItem, getResumeCursor } from '../../hub/stream.js'
import type { FailedCall, TrpcFailures } from '../trpc-errors.js'
import { type Framing, type Framings, messageEncoding } from './frames.js'

/** What an answer repeats of its request. */
export interface RequestHead {
	readonly id: number | string | null
	readonly jsonrpc?: '2.0' | undefined
}

export type Answer = { readonly result: object } | { readonly error: object }

/** A call as its procedure gets it. */
export interface TrpcCall extends FailedCall {
	readonly type: TRPCProcedureType
	readonly path: string
	readonly head: RequestHead
	readonly batchIndex: number
}

/** An answer as tRPC's own adapter writes it. */
export function answerText({ id, jsonrpc }: RequestHead, answer: Answer): string {
	return JSON.stringify({ id, jsonrpc, ...answer })
}

/** The items of a subscription, as answers into which their texts are spliced. */
function trpcSocketEncoding({ id, jsonrpc }: RequestHead, framing: Framing): Encoding {
	const before = `${JSON.stringify({ id, jsonrpc }).slice(0, -1)},"result":{"type":"data","data":{"id":`
	return messageEncoding(`trpc-websocket ${before}`, framing, (item) => {
		const cursor = JSON.stringify(getResumeCursor(item) ?? '')
		return `${before}${cursor},"data":${encodeItem(item)}},"id":${cursor}}}`
	})
}

/** What a subscription needs of its WebSocket. */
export interface SubscriptionHost {
	readonly connection: Connection
	readonly turns: WriteQueue
	readonly sink: ByteSink
	readonly framings: Framings
	readonly deliveries: Fanout
	readonly failures: TrpcFailures
	respond(head: RequestHead, answer: Answer): void
	call(call: TrpcCall, signal: AbortSignal | undefined): Promise<unknown>
	/** The id is free again. */
	over(id: RequestHead['id']): void
}

const STOPPED: Answer = { result: { type: 'stopped' } }

/** One subscription of a tRPC client on a WebSocket. */
export class TrpcSubscription implements StreamTarget, CarriedStream {
	readonly #host: SubscriptionHost
	readonly #call: TrpcCall
	/** Tells a procedure that runs its stream that nobody wants it any more. */
	readonly #left: AbortController | null
	/** null for a stream that goes straight to the reader. */
	#delivery: Subscriber | null = null
	#isStarted = false
	#isStopped = false
	/** Ended without a word. */
	#isCut = false
	#isOver = false

	constructor(host: SubscriptionHost, call: TrpcCall) {
		this.#host = host
		this.#call = call
		this.#left = controllerFor(call.path)
	}

	get sink(): ByteSink {
		return this.#host.sink
	}

	/** Made when it is looked at, so that a subscription at rest has none: a class of readers has one for all of them. */
	get wire(): Encoding {
		return trpcSocketEncoding(this.#call.head, this.#host.framings.of(this))
	}

	get plan_id(): string | null {
		return this.#delivery?.plan_id ?? null
	}

	get delivered(): number {
		return this.#delivery?.delivered ?? 0
	}

	async start(): Promise<void> {
		try {
			const items = await this.#host.call(this.#call, this.#left?.signal)
			if (this.#isStopped || this.#isOver) this.#finish(STOPPED)
			else await this.#begin(items)
		} catch (thrown) {
			if (this.#isStarted) this.failed(thrown)
			else this.#finish({ error: this.#host.failures.shape(thrown, this.#call) })
		}
	}

	/** The connection is to leave. */
	end(reason: PlanstreamError): void {
		if (this.#delivery !== null) this.#delivery.end(reason)
		else {
			this.#isCut = true
			this.#release()
		}
	}

	/** The client wants no more. */
	stop(): void {
		this.#isStopped = true
		this.#left?.abort()
		if (this.#isStarted) this.#finish(STOPPED)
	}

	/** The client is gone. */
	drop(): void {
		this.#isOver = true
		this.#release()
	}

	turn(): Promise<Disposable | null> {
		return this.#host.turns.take()
	}

	/** After an end that asks to resume nothing comes: it would tell the stock client to stop. Its connection closes. */
	ended({ resume }: EndFrame): void {
		if (resume) this.#host.connection.removeStream(this)
		else this.#finish(STOPPED)
	}

	failed(thrown: unknown): void {
		this.#finish({ error: this.#host.failures.inStream(thrown, this.#call) }, STOPPED)
	}

	async #begin(items: unknown): Promise<void> {
		this.#isStarted = true
		this.#host.respond(this.#call.head, { result: { type: 'started' } })
		if (items instanceof PlanEvents) this.#deliver(items)
		else await this.#pump(items as AsyncIterable<unknown>)
	}

	#deliver({ principal, input }: PlanEvents): void {
		const { connection, deliveries } = this.#host
		const request = toReadRequest(input)
		connection.addStream(this)
		this.#delivery = deliveries.deliver(principal, input.plan_id, request, this)
	}

	/** A stream without ids goes from its procedure straight to the reader. */
	async #pump(items: AsyncIterable<unknown>): Promise<void> {
		const { connection, turns } = this.#host
		const signal = this.#left?.signal
		connection.addStream(this)
		for await (const data of items) {
			using turn = await turns.take(signal)
			if (turn === null || signal?.aborted === true) break
			this.#host.respond(this.#call.head, { result: { type: 'data', data } })
		}
		if (!this.#isCut) this.#finish(STOPPED)
	}

	/** The id may be used again before the client is told so. */
	#finish(...answers: readonly Answer[]): void {
		if (this.#isOver) return
		this.#isOver = true
		this.#release()
		this.#host.over(this.#call.head.id)
		for (const answer of answers) this.#host.respond(this.#call.head, answer)
	}

	#release(): void {
		this.#left?.abort()
		this.#delivery?.[Symbol.dispose]()
		const { connection, framings } = this.#host
		connection.removeStream(this)
		framings.over(this)
	}
}
