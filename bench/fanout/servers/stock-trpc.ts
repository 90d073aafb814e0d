import { EventEmitter, on } from 'node:events'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { initTRPC, tracked } from '@trpc/server'
import { createHTTPServer } from '@trpc/server/adapters/standalone'
import { applyWSSHandler } from '@trpc/server/adapters/ws'
import { WebSocketServer } from 'ws'
import { type DeliveredEvent, makeDeliveredEvent } from '../../events.js'
import { listen, type ServerUnderTest } from './server-under-test.js'

/** Starts the peer: the subscription of tRPC's documentation over tRPC's adapters for WebSocket and server-sent events. It stores nothing. */
export async function startStockTrpc(): Promise<ServerUnderTest> {
	let watching = 0
	const emitter = new EventEmitter().setMaxListeners(0)
	const t = initTRPC.create()
	const router = t.router({
		events: t.procedure
			.input((given: unknown) => (given as { readonly plan_id: string }).plan_id)
			.subscription(async function* ({ input, signal }) {
				watching++
				const events = on(emitter, input, { ...(signal !== undefined && { signal }) })
				for await (const [event] of events as AsyncIterable<[DeliveredEvent]>) yield tracked(event.cursor, event)
			}),
	})
	const server = createHTTPServer({ router })
	applyWSSHandler({ wss: new WebSocketServer({ server }), router })
	return {
		port: await listen(server),
		subscribers: () => watching,
		publish: (seq, stamp, plan) => {
			const event = makeDeliveredEvent(seq, stamp, plan)
			emitter.emit(event.plan_id, event)
			return nextTurn()
		},
	}
}
