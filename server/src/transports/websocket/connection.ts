import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { asPlanstreamError, ERRORS, PlanstreamError } from '@planstream/shared'
import { WebSocket, WebSocketServer } from 'ws'
import { type Authenticator, chooseProtocol } from '../../auth/authenticator.js'
import type { AnonymousClients } from '../../connections/anonymous.js'
import { type AnswerBudget, type HeldBytes, socketProgress, type UnreadOutput } from '../../connections/answer-budget.js'
import type { Connection, ConnectionEnds, ConnectionLimits, Connections, Transport } from '../../connections/connections.js'
import { type SendBuffer, WriteQueue } from '../../connections/flow.js'
import { Heartbeat } from '../../connections/liveness.js'
import type { ByteSink } from '../../delivery/target.js'
import type { Principal } from '../../hub/principal.js'
import { processSchedule, type Schedule } from '../../ops/clock.js'
import { chooseOffer, type DeflateOffer, WINDOW_BITS } from './deflate.js'
import { encodeTextFrame, Framings, PLAIN, WITH_CONTEXT, WITHOUT_CONTEXT } from './frames.js'
import { refuseUpgrade } from './upgrade.js'

/** Options shared by all WebSockets of a transport. */
export interface AcceptedOptions extends ConnectionLimits {
	readonly transport: Transport
	readonly connections: Connections
	readonly answers: AnswerBudget
	readonly schedule: Schedule
}

/**
 * A WebSocket after its handshake: counted, kept alive, and closed when the client stops reading. Frames are written past `ws`,
 * so that a frame that was encoded once goes to every socket. `ws` still reads, pings and closes; it writes whole frames as
 * well, so frames never interleave.
 */
export class AcceptedSocket implements ByteSink, ConnectionEnds, SendBuffer, UnreadOutput {
	readonly client: WebSocket
	/** The socket under the WebSocket. */
	readonly writable: Socket
	readonly connection: Connection
	/** Every write of unbounded size takes a turn here. */
	readonly turns: WriteQueue
	readonly framings: Framings
	readonly #options: AcceptedOptions

	/** @throws PlanstreamError `too_many_connections`, `draining` */
	constructor(client: WebSocket, socket: Socket, options: AcceptedOptions, framings: Framings) {
		this.client = client
		this.writable = socket
		this.#options = options
		this.framings = framings
		this.turns = new WriteQueue(this)
		this.connection = options.connections.open(this)
		client.on('error', ignoreBrokenProtocol)
		const heartbeat = new Heartbeat(client, this.connection, options)
		const unfinished = new UnfinishedMessage(this, options.answers)
		socket.on('close', () => {
			heartbeat[Symbol.dispose]()
			unfinished[Symbol.dispose]()
			this.connection[Symbol.dispose]()
		})
	}

	get transport(): Transport {
		return this.#options.transport
	}

	/** Names the owner of the connection. A client that left meanwhile would stay in the list of connections. */
	identify({ tenant, expired }: Principal, client_id: string | undefined): void {
		if (this.client.readyState === WebSocket.OPEN) this.connection.identify({ tenant, client_id, expired })
	}

	get tenant(): string {
		return this.connection.owner?.tenant ?? ''
	}

	get lagging(): boolean {
		return this.turns.full
	}

	get queued(): number {
		return this.writable.writableLength
	}

	get limit(): number {
		return this.#options.sendBufferBytes
	}

	/** Does nothing after a close frame. @returns false when there is no room for more */
	write(frame: Buffer): boolean {
		if (this.client.readyState !== WebSocket.OPEN) return true
		if (this.writable.write(frame) || this.writable.writableLength === 0) return true
		this.#options.answers.watch(this)
		return !this.turns.full
	}

	get progress(): number {
		return socketProgress(this.writable)
	}

	get isOver(): boolean {
		return this.writable.destroyed || this.writable.writableLength === 0
	}

	giveUp(reason: PlanstreamError): void {
		this.connection.leave(reason)
	}

	send(text: string): void {
		this.write(encodeTextFrame(text))
	}

	leave({ code }: PlanstreamError): void {
		setImmediate(() => this.client.close(ERRORS[code].close, code))
	}

	terminate(): void {
		this.client.terminate()
	}
}

/** Bytes of the header of a frame from a client, by the length of its payload (RFC 6455 section 5.2). */
function measureHeader(length: number): number {
	return length < 126 ? 6 : length < 65_536 ? 8 : 14
}

/** Counts the bytes of a message that has not arrived completely, and closes its WebSocket when too many of them wait in the process. */
class UnfinishedMessage implements Disposable {
	readonly #socket: AcceptedSocket
	readonly #answers: AnswerBudget
	/** Bytes that have arrived and are not part of a complete message. */
	#bytes = 0
	/** Whether a message was completed by the chunk that is being read. */
	#isCompleted = false
	#held: HeldBytes | null = null

	constructor(socket: AcceptedSocket, answers: AnswerBudget) {
		this.#socket = socket
		this.#answers = answers
		const { client, writable } = socket
		const onFrame = ({ length }: Buffer): void => {
			this.#bytes -= length + measureHeader(length)
		}
		client.on('ping', onFrame)
		client.on('pong', onFrame)
		client.on('message', (data) => {
			onFrame(data as Buffer)
			this.#isCompleted = true
		})
		// Runs after the listener of `ws`, which emits the frames that a chunk completes.
		writable.on('data', ({ length }: Buffer) => this.#add(length))
	}

	[Symbol.dispose](): void {
		this.#held?.[Symbol.dispose]()
		this.#held = null
	}

	#add(length: number): void {
		// Headers of fragments and compression make the count inexact, so a complete message starts it anew.
		const limit = this.#isCompleted ? length : Number.POSITIVE_INFINITY
		this.#isCompleted = false
		this.#bytes = Math.min(Math.max(0, this.#bytes + length), limit)
		if (this.#bytes === 0) {
			this[Symbol.dispose]()
			return
		}
		this.#held ??= this.#answers.hold(this.#socket.tenant, 0)
		this.#held.resize(this.#bytes)
		this.#assertRoom()
	}

	#assertRoom(): void {
		try {
			this.#answers.assertRoom(this.#socket.tenant)
		} catch (thrown) {
			const { code } = asPlanstreamError(thrown)
			closeRefused(this.#socket.client, ERRORS[code].close, code)
		}
	}
}

/** `ws` closes a peer that breaks the protocol; `close` follows and ends everything. */
function ignoreBrokenProtocol(): void {}

export interface AcceptOptions {
	readonly transport: Transport
	/** Fragments of one message; more close the WebSocket. @defaultValue 16,384 */
	readonly maxFragments?: number
	/** Bytes of one frame from the client; a larger one closes the WebSocket. */
	readonly maxFrameBytes: number
	readonly connections: Connections
	readonly answers: AnswerBudget
	readonly limits: ConnectionLimits
	readonly schedule: Schedule
}

/**
 * Completes the handshake of a WebSocket and passes it to `serve`.
 *
 * @throws PlanstreamError `too_many_connections`, `draining`
 */
export type Accept = (request: IncomingMessage, head: Buffer, serve: (accepted: AcceptedSocket) => void) => void

const OFFERS = 'sec-websocket-extensions'
const MAX_FRAGMENTS = 16 * 1024
/** Clients must not refer to earlier messages, so that the server keeps no state for each of them. */
const DEFLATE = { serverMaxWindowBits: WINDOW_BITS, clientNoContextTakeover: true } as const
/** Stateless, so all connections share it. */
const NOT_COMPRESSED = new Framings(PLAIN)

export function acceptWebSockets({
	transport,
	maxFrameBytes,
	maxFragments = MAX_FRAGMENTS,
	connections,
	answers,
	limits,
	schedule,
}: AcceptOptions): Accept {
	const options: AcceptedOptions = { ...limits, transport, connections, answers, schedule }
	const server = new WebSocketServer({
		noServer: true,
		clientTracking: false,
		maxPayload: maxFrameBytes,
		maxFragments,
		handleProtocols: chooseProtocol,
		perMessageDeflate: limits.compression ? DEFLATE : false,
	})
	server.on('wsClientError', ({ message }, socket) => refuseUpgrade(socket, badHandshake(message)))
	return (request, head, serve) => {
		// Checked before the handshake, while an HTTP error can still be sent.
		connections.assertRoom()
		const { socket, headers } = request
		const offer = limits.compression ? chooseOffer(headers[OFFERS]) : null
		// `ws` would refuse the whole handshake for an offer that does not fit.
		if (offer === null) delete headers[OFFERS]
		else headers[OFFERS] = offer.text
		server.handleUpgrade(request, socket, head, (client) =>
			serve(new AcceptedSocket(client, socket, options, chooseFramings(offer))),
		)
	}
}

function chooseFramings(offer: DeflateOffer | null): Framings {
	if (offer === null) return NOT_COMPRESSED
	return new Framings(offer.keepsContext ? WITH_CONTEXT : WITHOUT_CONTEXT)
}

function badHandshake(message: string): PlanstreamError {
	return new PlanstreamError(
		'bad_request',
		`Invalid WebSocket handshake: ${message}. Connect with a WebSocket client of version 13.`,
	)
}

/** The credentials of an upgraded WebSocket, and who checks them. */
export interface WebSocketCredentials {
	readonly authority: Authenticator
	/** The request of the upgrade; a key in its headers wins over `token`. */
	readonly request: IncomingMessage
	/** Key that the client sent over the WebSocket. */
	readonly token?: string | undefined
	/** Counts those who have no key; null on a server without keys. */
	readonly anonymous: AnonymousClients | null
}

/** Time for a refused client to answer the close frame, in milliseconds. */
const REFUSED_CLOSE_MS = 1000

/** Closes a refused WebSocket after what is written in this turn, and cuts it when the client does not close it too. */
export function closeRefused(client: WebSocket, code?: number, reason?: string): void {
	setImmediate(() => client.close(code, reason))
	processSchedule(() => client.terminate(), REFUSED_CLOSE_MS)
}

/** The parts of a WebSocket of `ws` that hold its limits; `ws` has no other way to change them. */
interface LimitedReceiver {
	readonly _receiver: {
		_maxPayload: number
		_maxFragments: number
		readonly _extensions?: Readonly<Record<string, { _maxPayload: number }>>
	}
}

/** Lets a client send larger messages from now on. */
export function raiseFrameLimit(client: WebSocket, maxFrameBytes: number): void {
	const { _receiver: receiver } = client as unknown as LimitedReceiver
	receiver._maxPayload = maxFrameBytes
	receiver._maxFragments = MAX_FRAGMENTS
	for (const extension of Object.values(receiver._extensions ?? {})) extension._maxPayload = maxFrameBytes
}

/**
 * Authenticates an upgraded WebSocket. On failure it closes the socket once pending writes are flushed: browsers hide the HTTP
 * response of a refused upgrade, so the close code is the only signal they get.
 *
 * @throws PlanstreamError `unauthorized`
 */
export async function resolveToken(client: WebSocket, credentials: WebSocketCredentials): Promise<Principal> {
	const { authority, request, token = null, anonymous } = credentials
	try {
		const principal = await authority.identify(
			{ via: 'websocket', headers: request.headers, token, address: request.socket.remoteAddress },
			null,
		)
		anonymous?.admit(request.socket)
		return principal
	} catch (thrown) {
		const { code } = asPlanstreamError(thrown)
		anonymous?.count(request)
		closeRefused(client, ERRORS[code].close, code)
		throw thrown
	}
}
