import { ERRORS, type Json, type ParsedSubscribeInput, type PlanstreamError, SYSTEM_PLAN_ID } from '@planstream/shared'
import type { ClientMessage } from '@planstream/shared/schemas'
import { v7 as uuidv7 } from 'uuid'
import { typedError } from '../api/errors.js'
import { assertAllowed, type OnProblem, reported } from '../api/procedure.js'
import { toReadRequest } from '../api/read-request.js'
import { Reading } from '../connections/calls.js'
import type { Deliveries } from '../delivery/deliveries.js'
import type { Delivery } from '../delivery/delivery.js'
import type { Outlet, Wire } from '../delivery/outlet.js'
import type { Principal } from '../hub/principal.js'
import { textOf } from '../hub/stream-item.js'
import type { AcceptedSocket } from './accept-websocket.js'
import type { Framing } from './text-frame.js'
import { frameRefusal, readMessage } from './websocket-input.js'

/** Frames in a row that make no sense before the connection is closed. */
const MAX_FAULTS = 3
const TOO_MANY_FAULTS = `${MAX_FAULTS} frames in a row made no sense`
const PROTOCOL = 'planstream-1'
/** What `plan_id` in the address stands for. */
const SUBSCRIBE = { action: 'subscribe', after: 'start', snapshot: false, follow: 'until_done' } as const

export interface SessionOptions extends AcceptedSocket {
	readonly deliveries: Deliveries
	readonly principal: Principal
	/** Milliseconds between two pings of the server. */
	readonly heartbeatMs: number
	readonly onProblem: OnProblem
}

/** What runs for one plan on the connection. */
interface Followed {
	readonly stream: Disposable
	delivery: Disposable | null
}

function wireOf({ key, frame }: Framing): Wire {
	return { key: `websocket ${key}`, encode: (item) => frame(textOf(item)) }
}

/** One client on the plain WebSocket: what it says, and the subscriptions it has. */
export class WebSocketSession {
	readonly #options: SessionOptions
	readonly #reading: Reading
	readonly #closed = new AbortController()
	readonly #followed = new Map<string, Followed>()
	#faults = 0

	constructor(options: SessionOptions) {
		this.#options = options
		this.#reading = new Reading(options.client)
	}

	/**
	 * Welcomes the client and heeds what it says, a frame at a time, until it is gone. While it takes nothing, nothing more is read.
	 *
	 * @param plan_ids - subscribed to at once
	 */
	async serve(plan_ids: readonly string[]): Promise<void> {
		const { client, connection, writer, heartbeatMs } = this.#options
		using _hold = this.#reading.hold()
		client.on('error', ignoreBrokenProtocol)
		client.once('close', () => this.#close())
		client.on('message', (data, isBinary) => void this.#hear(data as Buffer, isBinary))
		const { connection_id } = connection
		const message = 'Connected. Subscribe with {"action":"subscribe","plan_id":"..."}.'
		writer.send(liveText('ping', { message, protocol: PROTOCOL, connection_id, heartbeat_ms: heartbeatMs }))
		for (const plan_id of plan_ids) await this.#heed(() => ({ ...SUBSCRIBE, plan_id }))
	}

	/** Nothing more is read while a frame waits for its turn; those that came with it wait in line behind it. */
	async #hear(data: Buffer, isBinary: boolean): Promise<void> {
		using _hold = this.#reading.hold()
		await this.#heed(() => readMessage(data, isBinary))
	}

	/** Does what one frame asks; what cannot be done is answered by a problem. Takes a turn for each, so that answers wait for room too. */
	async #heed(read: () => ClientMessage): Promise<void> {
		const { client, turns } = this.#options
		using turn = await turns.take(this.#closed.signal)
		if (turn === null || this.#closed.signal.aborted) return
		try {
			this.#act(read())
			this.#faults = 0
		} catch (thrown) {
			this.#tell(frameRefusal(thrown), null, null)
			if (++this.#faults < MAX_FAULTS) return
			client.close(ERRORS.bad_request.close, TOO_MANY_FAULTS)
			this.#close()
		}
	}

	#act(message: ClientMessage): void {
		switch (message.action) {
			case 'subscribe': {
				const { action: _action, ...input } = message
				this.#subscribe(input)
				break
			}
			case 'unsubscribe':
				this.#stop(message.plan_id)
				break
			case 'ping':
				this.#options.writer.send(liveText('pong', { timestamp: message.timestamp }))
				break
			default:
				message satisfies never
		}
	}

	/** A second subscription to a plan takes the place of the first. */
	#subscribe(input: ParsedSubscribeInput): void {
		const { principal, connection, deliveries } = this.#options
		const { plan_id } = input
		assertAllowed(principal, 'plans.events')
		const request = toReadRequest(input)
		this.#stop(plan_id)
		let delivery: Delivery | null = null
		const stream = connection.begin({
			plan_id,
			end: (reason) => delivery?.end(reason),
			delivered: () => delivery?.delivered ?? 0,
		})
		const followed: Followed = { stream, delivery: null }
		this.#followed.set(plan_id, followed)
		delivery = deliveries.deliver(principal, plan_id, request, this.#outlet(plan_id))
		followed.delivery = delivery
	}

	#stop(plan_id: string): void {
		const followed = this.#followed.get(plan_id)
		this.#followed.delete(plan_id)
		followed?.delivery?.[Symbol.dispose]()
		followed?.stream[Symbol.dispose]()
	}

	#outlet(plan_id: string): Outlet {
		const { turns, writer, framing } = this.#options
		return {
			sink: writer,
			wire: wireOf(framing),
			turn: () => turns.take(),
			ended: () => this.#stop(plan_id),
			failed: (thrown, cursor) => {
				this.#tell(thrown, plan_id, cursor)
				this.#stop(plan_id)
			},
		}
	}

	#tell(thrown: unknown, plan_id: string | null, cursor: string | null): void {
		const error = reported(typedError(thrown), this.#options.onProblem, 'The WebSocket')
		this.#options.writer.send(problemText(error, plan_id, cursor))
	}

	#close(): void {
		this.#closed.abort()
		for (const plan_id of [...this.#followed.keys()]) this.#stop(plan_id)
	}
}

/** An event that is never stored, as the original's clients know it. */
function liveText(event_type: 'ping' | 'pong', data: Record<string, Json>): string {
	const timestamp = new Date().toISOString()
	return JSON.stringify({ event_id: uuidv7(), event_type, plan_id: SYSTEM_PLAN_ID, step_id: null, data, timestamp })
}

/** What a client is told of a failure. */
export function problemText(error: PlanstreamError, plan_id: string | null = null, cursor: string | null = null): string {
	return textOf({ kind: 'frame', frame: { frame: 'problem', plan_id, cursor, ...error.toProblem() } })
}

/** A peer that breaks the protocol is closed by `ws`; `close` follows and ends everything. */
export function ignoreBrokenProtocol(_error: unknown): void {}
