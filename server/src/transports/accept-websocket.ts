import type { IncomingMessage } from 'node:http'
import { PlanstreamError } from '@planstream/shared'
import { WebSocketServer } from 'ws'
import { chooseProtocol } from '../auth/credentials.js'
import type { ConnectionLimits } from '../connections/limits.js'
import type { Connections, Transport } from '../connections/registry.js'
import type { Schedule } from '../connections/schedule.js'
import { type AcceptedOptions, AcceptedSocket } from './accepted-socket.js'
import { WINDOW_BITS } from './deflate-context.js'
import { chooseOffer, type DeflateOffer } from './deflate-offer.js'
import { Framings, PLAIN, WITH_CONTEXT, WITHOUT_CONTEXT } from './framing.js'
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

const OFFERS = 'sec-websocket-extensions'
/** Clients are to keep nothing from one message to the next, so that there is nothing to keep for each of them here. */
const DEFLATE = { serverMaxWindowBits: WINDOW_BITS, clientNoContextTakeover: true } as const
/** Nothing is kept of it, so that one is enough. */
const NOT_COMPRESSED = new Framings(PLAIN)

export function acceptWebSockets({ transport, maxFrameBytes, connections, limits, schedule }: AcceptOptions): Accept {
	const options: AcceptedOptions = { ...limits, transport, connections, schedule }
	const server = new WebSocketServer({
		noServer: true,
		clientTracking: false,
		maxPayload: maxFrameBytes,
		handleProtocols: chooseProtocol,
		perMessageDeflate: limits.compression ? DEFLATE : false,
	})
	server.on('wsClientError', ({ message }, socket) => refuse(socket, badHandshake(message)))
	return (request, head, serve) => {
		// Who finds no room is told so in the answer to its request, which the handshake would be.
		connections.assertRoom()
		const { socket, headers } = request
		const offer = limits.compression ? chooseOffer(headers[OFFERS]) : null
		// With none that suits, `ws` would refuse the whole handshake.
		if (offer === null) delete headers[OFFERS]
		else headers[OFFERS] = offer.text
		server.handleUpgrade(request, socket, head, (client) =>
			serve(new AcceptedSocket(client, socket, options, framingsFor(offer))),
		)
	}
}

function framingsFor(offer: DeflateOffer | null): Framings {
	if (offer === null) return NOT_COMPRESSED
	return new Framings(offer.keepsContext ? WITH_CONTEXT : WITHOUT_CONTEXT)
}

function badHandshake(message: string): PlanstreamError {
	return new PlanstreamError(
		'bad_request',
		`This is no WebSocket handshake: ${message}. Connect with a WebSocket client of version 13.`,
	)
}
