import { setMaxListeners } from 'node:events'
import type { WebSocket } from 'ws'
import { aborted } from '../connections/back-pressure.js'
import { Calls, Reading } from '../connections/calls.js'
import type { CarriedStream, Carrier } from '../connections/carrier.js'
import type { Connection } from '../connections/registry.js'
import type { Turns } from '../connections/turns.js'

/** Calls of one connection that are worked on at one time; the rest waits, and so does what the client has not sent yet. */
const MAX_CALLS = 100

export interface SocketCarrierOptions {
	readonly connection: Connection
	readonly client: WebSocket
	readonly turns: Turns
}

/**
 * Streams and calls on one tRPC WebSocket: the adapter itself never looks how much waits. Every event and every answer takes a turn,
 * and while there is no room nothing more is read, so that what is refused before it is a call does not pile up either.
 */
export function carriedBySocket({ connection, client, turns }: SocketCarrierOptions): Carrier {
	const closed = new AbortController()
	setMaxListeners(0, closed.signal)
	client.once('close', () => closed.abort())
	const reading = new Reading(client)
	const calls = new Calls(MAX_CALLS, reading)
	client.on('message', () => {
		if (turns.full) void resumeWithRoom(turns, reading, closed.signal)
	})
	return {
		closed: closed.signal,
		begin: (plan_id) => carriedStream(connection, turns, plan_id),
		call: (work) =>
			calls.run(async () => {
				const answer = await work()
				const turn = await turns.take(closed.signal)
				// The adapter writes the answer before the event loop turns.
				setImmediate(() => turn?.[Symbol.dispose]())
				return answer
			}),
	}
}

function carriedStream(connection: Connection, turns: Turns, plan_id: string | null): CarriedStream {
	const stream = connection.begin(plan_id)
	return {
		turn: (signal) => turns.take(signal),
		delivered: () => connection.delivered(),
		cut: (signal) => {
			stream[Symbol.dispose]()
			return aborted(signal)
		},
		[Symbol.dispose]: () => stream[Symbol.dispose](),
	}
}

async function resumeWithRoom(turns: Turns, reading: Reading, closed: AbortSignal): Promise<void> {
	using _hold = reading.hold()
	const turn = await turns.take(closed)
	turn?.[Symbol.dispose]()
}
