import { ERRORS, type Json, type ParsedSubscribeInput, type PlanstreamError, SYSTEM_PLAN_ID } from '@planstream/shared'
import type { ClientMessage } from '@planstream/shared/schemas'
import { v7 as uuidv7 } from 'uuid'
import { typedError } from '../api/errors.js'
import { assertAllowed, type OnProblem, reported } from '../api/procedure.js'
import { toReadRequest } from '../api/read-request.js'
import { Reading } from '../connections/calls.js'
import type { Deliveries } from '../delivery/deliveries.js'
import type { Principal } from '../hub/principal.js'
import { textOf } from '../hub/stream-item.js'
import type { AcceptedSocket } from './accepted-socket.js'
import { FollowedPlan, type Following } from './followed-plan.js'
import { frameRefusal, readMessage } from './websocket-input.js'

/** Frames in a row that make no sense before the connection is closed. */
const MAX_FAULTS = 3
const TOO_MANY_FAULTS = `${MAX_FAULTS} frames in a row made no sense`
const PROTOCOL = 'planstream-1'
/** What `plan_id` in the address stands for. */
const SUBSCRIBE = { action: 'subscribe', after: 'start', snapshot: false, follow: 'until_done' } as const

/** What all sessions share. */
export interface SessionService {
	readonly deliveries: Deliveries
	/** Milliseconds between two pings of the server. */
	readonly heartbeatMs: number
	readonly onProblem: OnProblem
}

/** One client on the plain WebSocket: what it says, and the subscriptions it has. */
export class WebSocketSession implements Following {
	readonly accepted: AcceptedSocket
	readonly #service: SessionService
	readonly #principal: Principal
	readonly #reading: Reading
	readonly #followed = new Map<string, FollowedPlan>()
	#faults = 0
	#isClosed = false

	constructor(accepted: AcceptedSocket, service: SessionService, principal: Principal) {
		this.accepted = accepted
		this.#service = service
		this.#principal = principal
		this.#reading = new Reading(accepted.client)
	}

	/**
	 * Welcomes the client and heeds what it says, a frame at a time, until it is gone. While it takes nothing, nothing more is read.
	 *
	 * @param plan_ids - subscribed to at once
	 */
	async serve(plan_ids: readonly string[]): Promise<void> {
		const { client, connection } = this.accepted
		using _hold = this.#reading.hold()
		client.on('close', () => this.#close())
		client.on('message', (data, isBinary) => void this.#hear(data as Buffer, isBinary))
		const { connection_id } = connection
		const message = 'Connected. Subscribe with {"action":"subscribe","plan_id":"..."}.'
		this.accepted.send(liveText('ping', { message, protocol: PROTOCOL, connection_id, heartbeat_ms: this.#service.heartbeatMs }))
		for (const plan_id of plan_ids) await this.#heed(() => ({ ...SUBSCRIBE, plan_id }))
	}

	stop(plan_id: string): void {
		const followed = this.#followed.get(plan_id)
		this.#followed.delete(plan_id)
		followed?.[Symbol.dispose]()
	}

	broken(thrown: unknown, plan_id: string, cursor: string): void {
		this.#tell(thrown, plan_id, cursor)
		this.stop(plan_id)
	}

	/** Nothing more is read while a frame waits for its turn; those that came with it wait in line behind it. */
	async #hear(data: Buffer, isBinary: boolean): Promise<void> {
		using _hold = this.#reading.hold()
		await this.#heed(() => readMessage(data, isBinary))
	}

	/** Does what one frame asks; what cannot be done is answered by a problem. Takes a turn for each, so that answers wait for room too. */
	async #heed(read: () => ClientMessage): Promise<void> {
		const { client, turns } = this.accepted
		using _turn = await turns.take()
		if (this.#isClosed) return
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
				this.stop(message.plan_id)
				break
			case 'ping':
				this.accepted.send(liveText('pong', { timestamp: message.timestamp }))
				break
			default:
				message satisfies never
		}
	}

	/** A second subscription to a plan takes the place of the first. */
	#subscribe(input: ParsedSubscribeInput): void {
		const { plan_id } = input
		assertAllowed(this.#principal, 'plans.events')
		const request = toReadRequest(input)
		this.stop(plan_id)
		const followed = new FollowedPlan(this, plan_id)
		followed.follow(this.#service.deliveries, this.#principal, request)
		this.#followed.set(plan_id, followed)
	}

	#tell(thrown: unknown, plan_id: string | null, cursor: string | null): void {
		const error = reported(typedError(thrown), this.#service.onProblem, 'The WebSocket')
		this.accepted.send(problemText(error, plan_id, cursor))
	}

	#close(): void {
		this.#isClosed = true
		for (const plan_id of [...this.#followed.keys()]) this.stop(plan_id)
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
