import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { ERRORS, PlanstreamError } from '@planstream/shared'
import { type WebSocket, WebSocketServer } from 'ws'
import { chooseProtocol } from '../auth/credentials.js'
import { StallWatch } from '../connections/back-pressure.js'
import { keepAlive } from '../connections/heartbeat.js'
import type { ConnectionLimits } from '../connections/limits.js'
import type { Connection, Connections, Transport } from '../connections/registry.js'
import type { Schedule } from '../connections/schedule.js'
import { Turns } from '../connections/turns.js'
import { SocketWriter } from './socket-writer.js'
import { DEFLATED, type Framing, PLAIN } from './text-frame.js'
import { refuse } from './upgrade.js'

export interface AcceptOptions {
	readonly transport: Transport
	/** Bytes of one frame from the client; a larger one closes the WebSocket. */
	readonly maxFrameBytes: number
	readonly connections: Connections
	readonly limits: ConnectionLimits
	readonly schedule: Schedule
}

/** A WebSocket after its handshake: counted, kept alive, and let go when it takes nothing. */
export interface AcceptedSocket {
	readonly client: WebSocket
	readonly connection: Connection
	/** The one way to write to it as much as a client asks for. */
	readonly turns: Turns
	readonly writer: SocketWriter
	readonly framing: Framing
}

/**
 * Does the handshake of one WebSocket and hands it over.
 *
 * @throws PlanstreamError `too_many_connections`, `draining`
 */
export type Accept = (
	request: IncomingMessage,
	socket: Duplex,
	head: Buffer,
	serve: (accepted: AcceptedSocket) => void | Promise<void>,
) => void

/** Neither side keeps a window from one message to the next, so that a connection at rest needs no memory for it. */
const WITHOUT_CONTEXT = { serverNoContextTakeover: true, clientNoContextTakeover: true } as const

export function webSocketServer({ transport, maxFrameBytes, ...options }: AcceptOptions): {
	server: WebSocketServer
	accept: Accept
} {
	const { connections, limits, schedule } = options
	const server = new WebSocketServer({
		noServer: true,
		clientTracking: false,
		maxPayload: maxFrameBytes,
		handleProtocols: chooseProtocol,
		perMessageDeflate: limits.compression ? WITHOUT_CONTEXT : false,
	})
	server.on('wsClientError', ({ message }, socket) => refuse(socket, badHandshake(message)))
	const accept: Accept = (request, _, head, serve) => {
		const { socket } = request
		let client: WebSocket | null = null
		const turns = new Turns({ sink: socket, queued: () => socket.writableLength, limit: limits.sendBufferBytes })
		const connection = connections.open({
			transport,
			lagging: () => turns.full,
			leave: ({ code }) => setImmediate(() => client?.close(ERRORS[code].close, code)),
			terminate: () => socket.destroy(),
		})
		socket.once('close', () => connection[Symbol.dispose]())
		server.handleUpgrade(request, socket, head, (accepted) => {
			client = accepted
			const stall = new StallWatch(socket, limits.stallTimeoutMs, {
				leave: (reason) => connection.leave(reason),
				terminate: () => accepted.terminate(),
			})
			keepAlive(accepted, { ...limits, schedule, onAlive: () => connection.seen() })
			const writer = new SocketWriter({ client: accepted, socket, turns, stall })
			const framing = accepted.extensions === '' ? PLAIN : DEFLATED
			void serve({ client: accepted, connection, turns, writer, framing })
		})
	}
	return { server, accept }
}

function badHandshake(message: string): PlanstreamError {
	return new PlanstreamError(
		'bad_request',
		`This is no WebSocket handshake: ${message}. Connect with a WebSocket client of version 13.`,
	)
}
