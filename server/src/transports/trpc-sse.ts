import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import { callTRPCProcedure } from '@trpc/server'
import type { Context as HonoContext } from 'hono'
import { clientIdOf, readClientId } from '../api/client-id.js'
import type { Context } from '../api/context.js'
import { controllerFor, PlanEvents } from '../api/plan-events.js'
import type { OnProblem } from '../api/procedure.js'
import { toReadRequest } from '../api/read-request.js'
import type { AppRouter } from '../api/router.js'
import type { Deliveries } from '../delivery/deliveries.js'
import { type SseDialect, SseOutlet } from './sse-outlet.js'
import { type SseContent, type SseContext, type SsePeer, SseStream, type SseStreamOptions } from './sse-stream.js'
import { type FailedCall, TrpcFailures } from './trpc-failures.js'
import { trpcDataBlock, trpcEventBlock, trpcItemBlock } from './trpc-sse-blocks.js'
import type { SubscriptionCall } from './trpc-sse-call.js'

const HEADERS = {
	vary: 'trpc-accept, accept',
	'content-type': 'text/event-stream',
	'cache-control': 'no-cache, no-transform',
	'x-accel-buffering': 'no',
} as const

const PING = trpcEventBlock('ping')

/** The call that a stream with ids answers. */
const PLAN_EVENTS: FailedCall = { type: 'subscription', path: 'plans.events', input: undefined }

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
	readonly #dialect: SseDialect

	constructor(options: TrpcHttpOptions) {
		this.#options = options
		this.#failures = new TrpcFailures(options.router, options.onProblem)
		this.#connected = trpcEventBlock('connected', JSON.stringify(options.router._def._config.sse?.client ?? {}))
		this.#dialect = {
			name: 'trpc-sse',
			block: trpcItemBlock,
			beat: () => PING,
			after: ({ resume }) => (resume ? null : trpcEventBlock('return')),
			broken: (thrown) => this.#broken(this.#failures.inStream(thrown, PLAN_EVENTS)),
		}
	}

	async answer(context: SseContext, { path, connectionParams, readInput }: SubscriptionCall): Promise<Response> {
		const { router, contextOf } = this.#options
		const call: FailedCall = { type: 'subscription', path, input: undefined }
		const left = controllerFor(path)
		try {
			const ctx = contextOf(context)
			const client_id = clientIdOf(context.req.url) ?? readClientId(connectionParams?.client_id)
			const peer: SsePeer = { transport: 'trpc-sse', principal: ctx.principal, client_id }
			const result: unknown = await callTRPCProcedure({
				router,
				path,
				type: 'subscription',
				getRawInput: () => Promise.resolve().then(readInput),
				ctx,
				signal: left?.signal,
				batchIndex: 0,
			})
			if (result instanceof PlanEvents) this.#deliver(context, peer, result)
			else if (left !== null) await this.#pump(context, { peer, left, call }, result as AsyncIterable<unknown>)
			return RESPONSE_ALREADY_SENT
		} catch (thrown) {
			return context.body(this.#connected + this.#broken(this.#failures.shape(thrown, call)), 200, HEADERS)
		}
	}

	#deliver(context: SseContext, peer: SsePeer, { principal, input }: PlanEvents): void {
		const { plan_id } = input
		const request = toReadRequest(input)
		const outlet = new SseOutlet(context, { stream: this.#options, dialect: this.#dialect, peer, plan_id, beginning: null })
		this.#open(context, outlet.sink)
		outlet.deliver(this.#options.deliveries, principal, request)
	}

	/** A stream without ids goes from its procedure straight to the reader. */
	async #pump(context: SseContext, { peer, left, call }: Pumped, items: AsyncIterable<unknown>): Promise<void> {
		const cut = (): void => left.abort()
		const content: SseContent = { plan_id: null, delivered: 0, end: cut, left: cut, beat: () => PING }
		using stream = new SseStream(context, this.#options, peer, content)
		this.#open(context, stream)
		try {
			for await (const item of items) {
				using turn = await stream.turn(left.signal)
				if (turn === null || left.signal.aborted) break
				stream.send(trpcDataBlock(item))
			}
			if (!left.signal.aborted) stream.send(trpcEventBlock('return'))
		} catch (thrown) {
			stream.send(this.#broken(this.#failures.inStream(thrown, call)))
		}
	}

	#open(context: SseContext, stream: SseStream): void {
		const headers = { ...Object.fromEntries(context.body(null).headers), ...HEADERS }
		stream.open({ headers, block: this.#connected })
	}

	#broken(shape: object): string {
		return trpcEventBlock('serialized-error', JSON.stringify(shape))
	}
}

/** A stream that has no delivery. */
interface Pumped {
	readonly peer: SsePeer
	/** Aborted when the reader is gone. */
	readonly left: AbortController
	readonly call: FailedCall
}
