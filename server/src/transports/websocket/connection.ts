import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { asPlanstreamError, ERRORS, PlanstreamError } from '@planstream/shared'
import { WebSocket, WebSocketServer } from 'ws'
import { type Authenticator, chooseProtocol } from '../../auth/authenticator.js'
import { type AnswerBudget, socketProgress, type UnreadOutput } from '../../connections/answer-budget.js'
import type { Connection, ConnectionEnds, ConnectionLimits, Connections, Transport } from '../../connections/connections.js'
import { type SendBuffer, WriteQueue } from '../../connections/flow.js'
import { Heartbeat } from '../../connections/liveness.js'
import type { ByteSink } from '../../delivery/target.js'
import type { Principal } from '../../hub/principal.js'
import type { Schedule } from '../../ops/clock.js'
import { chooseOffer, type DeflateOffer, WINDOW_BITS } from './deflate.js'
import { encodeTextFrame, Framings, PLAIN, WITH_CONTEXT, WITHOUT_CONTEXT } from './frames.js'
import { refuseUpgrade } from './upgrade.js'

/** What all WebSockets of one transport share. */
export interface AcceptedOptions extends ConnectionLimits {
	readonly transport: Transport
	readonly connections: Connections
	readonly answers: AnswerBudget
	readonly schedule: Schedule
}

/**
 * A WebSocket after its handshake: counted, kept alive, and let go when it takes nothing. It writes whole frames past `ws`, which goes on
 * to read, to ping and to close: a frame that was made once goes to every socket as it is. What `ws` writes itself are whole frames, too,
 * so that none ends up inside another.
 */
export class AcceptedSocket implements ByteSink, ConnectionEnds, SendBuffer, UnreadOutput {
	readonly client: WebSocket
	/** What the WebSocket was made of. */
	readonly writable: Socket
	readonly connection: Connection
	/** The one way to write to it as much as a client asks for. */
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
		socket.on('close', () => {
			heartbeat[Symbol.dispose]()
			this.connection[Symbol.dispose]()
		})
	}

	get transport(): Transport {
		return this.#options.transport
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

	/** Nothing follows a close frame. @returns false when there is no room for more */
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

	/** Sends a message to this one client. */
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

/** A peer that breaks the protocol is closed by `ws`; `close` follows and ends everything. */
function ignoreBrokenProtocol(): void {}

export interface AcceptOptions {
	readonly transport: Transport
	/** Bytes of one frame from the client; a larger one closes the WebSocket. */
	readonly maxFrameBytes: number
	readonly connections: Connections
	readonly answers: AnswerBudget
	readonly limits: ConnectionLimits
	readonly schedule: Schedule
}

/**
 * Does the handshake of one WebSocket and hands it over.
 *
 * @throws PlanstreamError `too_many_connections`, `draining`
 */
export type Accept = (request: IncomingMessage, head: Buffer, serve: (accepted: AcceptedSocket) => void) => void

const OFFERS = 'sec-websocket-extensions'
/** Clients are to keep nothing from one message to the next, so that there is nothing to keep for each of them here. */
const DEFLATE = { serverMaxWindowBits: WINDOW_BITS, clientNoContextTakeover: true } as const
/** Nothing is kept of it, so that one is enough. */
const NOT_COMPRESSED = new Framings(PLAIN)

export function acceptWebSockets({ transport, maxFrameBytes, connections, answers, limits, schedule }: AcceptOptions): Accept {
	const options: AcceptedOptions = { ...limits, transport, connections, answers, schedule }
	const server = new WebSocketServer({
		noServer: true,
		clientTracking: false,
		maxPayload: maxFrameBytes,
		handleProtocols: chooseProtocol,
		perMessageDeflate: limits.compression ? DEFLATE : false,
	})
	server.on('wsClientError', ({ message }, socket) => refuseUpgrade(socket, badHandshake(message)))
	return (request, head, serve) => {
		// Who finds no room is told so in the answer to its request, which the handshake would be.
		connections.assertRoom()
		const { socket, headers } = request
		const offer = limits.compression ? chooseOffer(headers[OFFERS]) : null
		// With none that suits, `ws` would refuse the whole handshake.
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
		`This is no WebSocket handshake: ${message}. Connect with a WebSocket client of version 13.`,
	)
}

/** A WebSocket whose upgrade is done, and what it came with. */
export interface WebSocketCredentials {
	readonly authority: Authenticator
	/** Of the upgrade; a key in them counts before the other. */
	readonly headers: IncomingHttpHeaders
	/** A key the client has sent over the WebSocket. */
	readonly token?: string | undefined
	readonly client: WebSocket
}

/**
 * Whose a WebSocket is. Who is refused is closed, after what is written in this turn: a browser shows no answer to a refused upgrade, so
 * the close code is how it learns to stop.
 *
 * @throws PlanstreamError `unauthorized`
 */
export async function resolveToken({ authority, headers, token, client }: WebSocketCredentials): Promise<Principal> {
	try {
		return await authority.identify({ via: 'websocket', headers, token: token ?? null }, null)
	} catch (thrown) {
		const { code } = asPlanstreamError(thrown)
		setImmediate(() => client.close(ERRORS[code].close, code))
		throw thrown
	}
}
