import type { IncomingMessage } from 'node:http'
import { ERRORS, type Json, type ParsedSubscribeInput, PlanstreamError, SYSTEM_PLAN_ID } from '@planstream/shared'
import { type ClientMessage, clientMessage, contract } from '@planstream/shared/schemas'
import { v7 as uuidv7 } from 'uuid'
import { toTypedError } from '../../api/errors.js'
import { checkJson, parseJson, readClientId, toReadRequest } from '../../api/input.js'
import { assertAllowed, type OnProblem, reportFailures } from '../../api/procedure.js'
import { type QueryParameters, readQuery } from '../../api/rest.js'
import type { Authenticator } from '../../auth/authenticator.js'
import type { AnonymousClients } from '../../connections/anonymous.js'
import type { AnswerBudget } from '../../connections/answer-budget.js'
import type { CarriedStream, ConnectionLimits, Connections } from '../../connections/connections.js'
import { ReadGate } from '../../connections/flow.js'
import type { Fanout, Subscriber } from '../../delivery/fanout.js'
import type { ByteSink, Encoding, StreamTarget } from '../../delivery/target.js'
import type { Principal } from '../../hub/principal.js'
import type { ReadOptions } from '../../hub/reader.js'
import { encodeItem } from '../../hub/stream.js'
import type { Schedule } from '../../ops/clock.js'
import { type AcceptedSocket, acceptWebSockets, resolveToken, type WebSocketCredentials } from './connection.js'
import { createMessageEncoding } from './frames.js'
import type { Upgrade } from './upgrade.js'

/** Path of the plain WebSocket. */
export const WEBSOCKET_PATH = '/api/v1/streaming/ws/{client_id}'

const ACTIONS = clientMessage.options.map(({ shape }) => shape.action.value)
const NOT_JSON = 'The frame is not JSON. Send one JSON object per frame, such as {"action":"subscribe","plan_id":"plan_123"}.'
/** Also the plan `system`, as in a message that subscribes. */
const readable = contract['plans.events'].input.pick({ plan_id: true })
const PARAMETERS: QueryParameters = new Map([['plan_id', 'texts']])

interface WebSocketAddress {
	readonly client_id: string | undefined
	/** Plans to subscribe to immediately. */
	readonly plan_ids: readonly string[]
}

/**
 * Reads the URL of an upgrade.
 *
 * @throws PlanstreamError `bad_request` with the `path` of the bad part
 */
function readAddress(url: string): WebSocketAddress {
	const { pathname, search } = new URL(url, 'http://localhost')
	const client_id = readClientId(decodePath(pathname.split('/').at(-1) ?? ''))
	const { plan_id = [] } = readQuery(search, PARAMETERS) as { plan_id?: string[] }
	const plan_ids = [...new Set(plan_id)].map((given) => {
		const parsed = readable.safeParse({ plan_id: given })
		if (parsed.success) return parsed.data.plan_id
		throw toTypedError(parsed.error, { input: { plan_id: given } })
	})
	return { client_id, plan_ids }
}

function decodePath(segment: string): string {
	try {
		return decodeURIComponent(segment)
	} catch {
		return segment
	}
}

/**
 * Reads a client's frame.
 *
 * @throws PlanstreamError `bad_request`
 */
function readMessage(data: Buffer, isBinary: boolean): ClientMessage {
	if (isBinary) throw new PlanstreamError('bad_request', 'The frame is binary. Send JSON in a text frame.')
	const value = parseJson(data.toString(), () => NOT_JSON)
	checkJson(value)
	const parsed = clientMessage.safeParse(value)
	if (parsed.success) return parsed.data
	throw toTypedError(parsed.error, { input: value })
}

/** Converts the error of a refused frame; it always lists the `allowed` actions. */
function toFrameProblem(thrown: unknown): PlanstreamError {
	const error = toTypedError(thrown)
	return new PlanstreamError(error.code, error.message, { allowed: ACTIONS, ...error.facts }, { cause: error.cause })
}

/** A client's subscription to one plan. */
class PlanSubscription implements StreamTarget, CarriedStream, Disposable {
	readonly plan_id: string
	readonly #session: WebSocketSession
	#subscriber: Subscriber | null = null

	constructor(session: WebSocketSession, plan_id: string) {
		this.#session = session
		this.plan_id = plan_id
	}

	/** @throws PlanstreamError `bad_request` when the connection has reached its limit of streams */
	start(fanout: Fanout, principal: Principal, request: ReadOptions): void {
		this.#session.accepted.connection.addStream(this)
		this.#subscriber = fanout.deliver(principal, this.plan_id, request, this)
	}

	get sink(): ByteSink {
		return this.#session.accepted
	}

	get encoding(): Encoding {
		return createMessageEncoding('websocket', this.#session.accepted.framings.choose(this), encodeItem)
	}

	get delivered(): number {
		return this.#subscriber?.delivered ?? 0
	}

	turn(signal?: AbortSignal): Promise<Disposable | null> {
		return this.#session.accepted.turns.take(signal)
	}

	end(reason: PlanstreamError): void {
		this.#subscriber?.end(reason)
	}

	ended(): void {
		this.#session.stop(this.plan_id)
	}

	failed(thrown: unknown, cursor: string): void {
		this.#session.fail(thrown, this.plan_id, cursor)
	}

	[Symbol.dispose](): void {
		this.#subscriber?.[Symbol.dispose]()
		const { connection, framings } = this.#session.accepted
		connection.removeStream(this)
		framings.release(this)
	}
}

/** Consecutive invalid frames before the connection is closed. */
const MAX_FAULTS = 3
const TOO_MANY_FAULTS = `${MAX_FAULTS} frames in a row made no sense`
const PROTOCOL = 'planstream-1'
/** Subscription for a `plan_id` in the URL. */
const SUBSCRIBE = { action: 'subscribe', after: 'start', snapshot: false, follow: 'until_done' } as const

/** Services shared by all sessions. */
interface SessionService {
	readonly fanout: Fanout
	/** Milliseconds between two pings of the server. */
	readonly heartbeatMs: number
	readonly onProblem: OnProblem
}

/** One client on the plain WebSocket, with its subscriptions. */
class WebSocketSession {
	readonly accepted: AcceptedSocket
	readonly #service: SessionService
	readonly #principal: Principal
	readonly #reading: ReadGate
	readonly #subscriptions = new Map<string, PlanSubscription>()
	#faults = 0
	#isClosed = false

	constructor(accepted: AcceptedSocket, service: SessionService, principal: Principal) {
		this.accepted = accepted
		this.#service = service
		this.#principal = principal
		this.#reading = new ReadGate(accepted.client)
	}

	/**
	 * Greets the client and handles its frames, one at a time, until it is gone. Reading pauses while the client takes nothing.
	 *
	 * @param plan_ids - plans to subscribe to immediately
	 */
	async serve(plan_ids: readonly string[]): Promise<void> {
		const { client, connection } = this.accepted
		using _hold = this.#reading.hold()
		client.on('close', () => this.#close())
		client.on('message', (data, isBinary) => void this.#receive(data as Buffer, isBinary))
		const { connection_id } = connection
		const message = 'Connected. Subscribe with {"action":"subscribe","plan_id":"..."}.'
		this.accepted.send(
			encodeLiveEvent('ping', { message, protocol: PROTOCOL, connection_id, heartbeat_ms: this.#service.heartbeatMs }),
		)
		for (const plan_id of plan_ids) await this.#handle(() => ({ ...SUBSCRIBE, plan_id }))
	}

	/** Ends the subscription to a plan. */
	stop(plan_id: string): void {
		const subscription = this.#subscriptions.get(plan_id)
		this.#subscriptions.delete(plan_id)
		subscription?.[Symbol.dispose]()
	}

	/** Reports that a plan's stream failed after a cursor, and ends the subscription. */
	fail(thrown: unknown, plan_id: string, cursor: string): void {
		this.#sendProblem(thrown, plan_id, cursor)
		this.stop(plan_id)
	}

	/** Pauses reading while a frame waits for its turn; frames that arrived with it queue behind it. */
	async #receive(data: Buffer, isBinary: boolean): Promise<void> {
		using _hold = this.#reading.hold()
		await this.#handle(() => readMessage(data, isBinary))
	}

	/** Performs one frame's action, or answers with a problem. Each frame takes a turn, so that answers wait for room too. */
	async #handle(read: () => ClientMessage): Promise<void> {
		const { client, turns } = this.accepted
		using _turn = await turns.take()
		if (this.#isClosed) return
		try {
			this.#perform(read())
			this.#faults = 0
		} catch (thrown) {
			this.#sendProblem(toFrameProblem(thrown), null, null)
			if (++this.#faults < MAX_FAULTS) return
			client.close(ERRORS.bad_request.close, TOO_MANY_FAULTS)
			this.#close()
		}
	}

	#perform(message: ClientMessage): void {
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
				this.accepted.send(encodeLiveEvent('pong', { timestamp: message.timestamp }))
				break
			default:
				message satisfies never
		}
	}

	/** Subscribes to a plan. A second subscription replaces the first. */
	#subscribe(input: ParsedSubscribeInput): void {
		const { plan_id } = input
		assertAllowed(this.#principal, 'plans.events')
		const request = toReadRequest(input)
		this.stop(plan_id)
		const subscription = new PlanSubscription(this, plan_id)
		subscription.start(this.#service.fanout, this.#principal, request)
		this.#subscriptions.set(plan_id, subscription)
	}

	#sendProblem(thrown: unknown, plan_id: string | null, cursor: string | null): void {
		const error = reportFailures(toTypedError(thrown), this.#service.onProblem, 'The WebSocket')
		this.accepted.send(encodeProblem(error, plan_id, cursor))
	}

	#close(): void {
		this.#isClosed = true
		for (const plan_id of [...this.#subscriptions.keys()]) this.stop(plan_id)
	}
}

/** Encodes an event that is never stored, in the form that clients of the original protocol know. */
function encodeLiveEvent(event_type: 'ping' | 'pong', data: Record<string, Json>): string {
	const timestamp = new Date().toISOString()
	return JSON.stringify({ event_id: uuidv7(), event_type, plan_id: SYSTEM_PLAN_ID, step_id: null, data, timestamp })
}

function encodeProblem(error: PlanstreamError, plan_id: string | null = null, cursor: string | null = null): string {
	return encodeItem({ kind: 'frame', frame: { frame: 'problem', plan_id, cursor, ...error.toProblem() } })
}

/** Frames from clients are small. */
const MAX_MESSAGE_BYTES = 64 * 1024

export interface PlainWebSocketOptions {
	readonly fanout: Fanout
	readonly connections: Connections
	readonly answers: AnswerBudget
	readonly limits: ConnectionLimits
	readonly authority: Authenticator
	/** Counts those who have no key; null on a server without keys. */
	readonly anonymous: AnonymousClients | null
	readonly schedule: Schedule
	readonly onProblem: OnProblem
}

/** Serves the plain WebSocket: one event or control frame per text frame, and actions in JSON. */
export function plainWebSocket(options: PlainWebSocketOptions): Upgrade {
	const { limits, authority, anonymous, fanout, onProblem } = options
	const accept = acceptWebSockets({ ...options, transport: 'websocket', maxFrameBytes: MAX_MESSAGE_BYTES })
	const service = { fanout, heartbeatMs: limits.pingIntervalMs, onProblem }
	const serve = async (accepted: AcceptedSocket, request: IncomingMessage, address: WebSocketAddress): Promise<void> => {
		const { client } = accepted
		client.pause()
		const principal = await authenticate(accepted, { authority, request, anonymous }, address, onProblem)
		client.resume()
		if (principal === null || client.readyState !== client.OPEN) return
		void new WebSocketSession(accepted, service, principal).serve(address.plan_ids)
	}
	return (request, _socket, head) => {
		const address = readAddress(request.url ?? '')
		accept(request, head, (accepted) => void serve(accepted, request, address))
	}
}

/** Authenticates the client. On failure it sends the reason in a last frame and returns null. */
async function authenticate(
	accepted: AcceptedSocket,
	credentials: WebSocketCredentials,
	{ client_id }: WebSocketAddress,
	onProblem: OnProblem,
): Promise<Principal | null> {
	try {
		const principal = await resolveToken(accepted.client, credentials)
		accepted.identify(principal, client_id)
		return principal
	} catch (thrown) {
		accepted.send(encodeProblem(reportFailures(toTypedError(thrown), onProblem, 'A WebSocket')))
		return null
	}
}
