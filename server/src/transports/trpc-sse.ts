import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import { callTRPCProcedure } from '@trpc/server'
import type { Context as HonoContext } from 'hono'
import { clientIdOf, readClientId } from '../api/client-id.js'
import type { Context } from '../api/context.js'
import { PlanEvents } from '../api/plan-events.js'
import type { OnProblem } from '../api/procedure.js'
import { toReadRequest } from '../api/read-request.js'
import type { AppRouter } from '../api/router.js'
import type { Deliveries } from '../delivery/deliveries.js'
import type { Delivery } from '../delivery/delivery.js'
import type { Principal } from '../hub/principal.js'
import { type SseDialect, SseOutlet } from './sse-outlet.js'
import { type SseContext, SseStream, type SseStreamOptions } from './sse-stream.js'
import { type FailedCall, TrpcFailures } from './trpc-failures.js'
import { trpcDataBlock, trpcEventBlock, trpcItemBlock } from './trpc-sse-blocks.js'
import type { SubscriptionCall } from './trpc-sse-call.js'

const HEADERS = {
	vary: 'trpc-accept, accept',
	'content-type': 'text/event-stream',
	'cache-control': 'no-cache, no-transform',
	'x-accel-buffering': 'no',
} as const

export interface TrpcHttpOptions extends SseStreamOptions {
	readonly router: AppRouter
	readonly deliveries: Deliveries
	readonly contextOf: (context: HonoContext) => Context
	readonly onProblem: OnProblem
}

/** Subscriptions over tRPC's server-sent events, byte for byte as tRPC's own adapter answers them. */
export class TrpcSse {
	readonly #options: TrpcHttpOptions
	readonly #failures: TrpcFailures
	/** The first event tells the client how long silence may last. */
	readonly #connected: string

	constructor(options: TrpcHttpOptions) {
		this.#options = options
		this.#failures = new TrpcFailures(options.router, options.onProblem)
		this.#connected = trpcEventBlock('connected', JSON.stringify(options.router._def._config.sse?.client ?? {}))
	}

	async answer(context: SseContext, { path, connectionParams, readInput }: SubscriptionCall): Promise<Response> {
		const { router, contextOf } = this.#options
		const call: FailedCall = { type: 'subscription', path, input: undefined }
		const left = new AbortController()
		try {
			const ctx = contextOf(context)
			const client_id = clientIdOf(context.req.url) ?? readClientId(connectionParams?.client_id)
			const reader: NamedReader = { principal: ctx.principal, client_id, left, call }
			const result: unknown = await callTRPCProcedure({
				router,
				path,
				type: 'subscription',
				getRawInput: () => Promise.resolve().then(readInput),
				ctx,
				signal: left.signal,
				batchIndex: 0,
			})
			if (result instanceof PlanEvents) this.#deliver(context, reader, result)
			else await this.#pump(context, reader, result as AsyncIterable<unknown>)
			return RESPONSE_ALREADY_SENT
		} catch (thrown) {
			return context.body(this.#connected + this.#broken(this.#failures.shape(thrown, call)), 200, HEADERS)
		}
	}

	#deliver(context: SseContext, reader: NamedReader, { principal, input }: PlanEvents): void {
		const { plan_id } = input
		const request = toReadRequest(input)
		let delivery: Delivery | null = null
		const stream = new SseStream(context, this.#options, {
			...reader,
			transport: 'trpc-sse',
			plan_id,
			end: (reason) => delivery?.end(reason),
			delivered: () => delivery?.delivered ?? 0,
			left: () => {
				delivery?.[Symbol.dispose]()
				stream[Symbol.dispose]()
			},
		})
		this.#open(context, stream)
		const dialect: SseDialect = {
			name: 'trpc-sse',
			block: trpcItemBlock,
			after: ({ resume }) => (resume ? null : trpcEventBlock('return')),
			tell: (thrown) => stream.send(this.#broken(this.#failures.inStream(thrown, reader.call))),
		}
		delivery = this.#options.deliveries.deliver(principal, plan_id, request, new SseOutlet(stream, dialect))
	}

	/** A stream without ids goes from its procedure straight to the reader. */
	async #pump(context: SseContext, { left, ...reader }: NamedReader, items: AsyncIterable<unknown>): Promise<void> {
		const cut = (): void => left.abort()
		using stream = new SseStream(context, this.#options, {
			...reader,
			transport: 'trpc-sse',
			plan_id: null,
			end: cut,
			delivered: () => 0,
			left: cut,
		})
		this.#open(context, stream)
		try {
			for await (const item of items) {
				using turn = await stream.turn(left.signal)
				if (turn === null || left.signal.aborted) break
				stream.send(trpcDataBlock(item))
			}
			if (!left.signal.aborted) stream.send(trpcEventBlock('return'))
		} catch (thrown) {
			stream.send(this.#broken(this.#failures.inStream(thrown, reader.call)))
		}
	}

	#open(context: SseContext, stream: SseStream): void {
		const headers = { ...Object.fromEntries(context.body(null).headers), ...HEADERS }
		stream.open({ headers, block: this.#connected, beat: () => trpcEventBlock('ping') })
	}

	#broken(shape: object): string {
		return trpcEventBlock('serialized-error', JSON.stringify(shape))
	}
}

/** Who reads, and what it called. */
interface NamedReader {
	readonly principal: Principal
	readonly client_id: string | undefined
	/** Aborted when it is gone. */
	readonly left: AbortController
	readonly call: FailedCall
}
