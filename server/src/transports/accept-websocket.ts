import type { IncomingMessage } from 'node:http'
import { PlanstreamError } from '@planstream/shared'
import { WebSocketServer } from 'ws'
import { chooseProtocol } from '../auth/credentials.js'
import type { ConnectionLimits } from '../connections/limits.js'
import type { Connections, Transport } from '../connections/registry.js'
import type { Schedule } from '../connections/schedule.js'
import { type AcceptedOptions, AcceptedSocket } from './accepted-socket.js'
import { refuse } from './upgrade.js'

export interface AcceptOptions {
	readonly transport: Transport
	/** Bytes of one frame from the client; a larger one closes the WebSocket. */
	readonly maxFrameBytes: number
	readonly connections: Connections
	readonly limits: ConnectionLimits
	readonly schedule: Schedule
}

/**
 * Does the handshake of one WebSocket and hands it over.
 *
 * @throws PlanstreamError `too_many_connections`, `draining`
 */
export type Accept = (request: IncomingMessage, head: Buffer, serve: (accepted: AcceptedSocket) => void) => void

/** Neither side keeps a window from one message to the next, so that a connection at rest needs no memory for it. */
const WITHOUT_CONTEXT = { serverNoContextTakeover: true, clientNoContextTakeover: true } as const

export function acceptWebSockets({ transport, maxFrameBytes, connections, limits, schedule }: AcceptOptions): Accept {
	const options: AcceptedOptions = { ...limits, transport, connections, schedule }
	const server = new WebSocketServer({
		noServer: true,
		clientTracking: false,
		maxPayload: maxFrameBytes,
		handleProtocols: chooseProtocol,
		perMessageDeflate: limits.compression ? WITHOUT_CONTEXT : false,
	})
	server.on('wsClientError', ({ message }, socket) => refuse(socket, badHandshake(message)))
	return (request, head, serve) => {
		// Who finds no room is told so in the answer to its request, which the handshake would be.
		connections.assertRoom()
		const { socket } = request
		server.handleUpgrade(request, socket, head, (client) => serve(new AcceptedSocket(client, socket, options)))
	}
}

function badHandshake(message: string): PlanstreamError {
	return new PlanstreamError(
		'bad_request',
		`This is no WebSocket handshake: ${message}. Connect with a WebSocket client of version 13.`,
	)
}
