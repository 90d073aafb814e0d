import type { IncomingHttpHeaders } from 'node:http'
import { typedError } from '../api/errors.js'
import type { OnProblem } from '../api/procedure.js'
import type { Authority } from '../auth/authority.js'
import type { ConnectionLimits } from '../connections/limits.js'
import type { Connections } from '../connections/registry.js'
import type { Schedule } from '../connections/schedule.js'
import type { Deliveries } from '../delivery/deliveries.js'
import type { Principal } from '../hub/principal.js'
import { acceptWebSockets } from './accept-websocket.js'
import type { AcceptedSocket } from './accepted-socket.js'
import { admit, type Newcomer } from './holder.js'
import type { Upgrade } from './upgrade.js'
import { readAddress, type WebSocketAddress } from './websocket-input.js'
import { problemText, WebSocketSession } from './websocket-session.js'

/** What a client asks for is small. */
const MAX_MESSAGE_BYTES = 64 * 1024

export interface PlainWebSocketOptions {
	readonly deliveries: Deliveries
	readonly connections: Connections
	readonly limits: ConnectionLimits
	readonly authority: Authority
	readonly schedule: Schedule
	readonly onProblem: OnProblem
}

/** The plain WebSocket: text frames of one event or control frame each, and actions in JSON. */
export function plainWebSocket(options: PlainWebSocketOptions): Upgrade {
	const { limits, authority, deliveries, onProblem } = options
	const accept = acceptWebSockets({ ...options, transport: 'websocket', maxFrameBytes: MAX_MESSAGE_BYTES })
	const service = { deliveries, heartbeatMs: limits.pingIntervalMs, onProblem }
	const serve = async (accepted: AcceptedSocket, headers: IncomingHttpHeaders, address: WebSocketAddress): Promise<void> => {
		const { client } = accepted
		client.pause()
		const principal = await admitted(accepted, { authority, headers, client })
		client.resume()
		if (principal === null || client.readyState !== client.OPEN) return
		const { tenant, expired } = principal
		accepted.connection.identify({ tenant, client_id: address.client_id, expired })
		void new WebSocketSession(accepted, service, principal).serve(address.plan_ids)
	}
	return (request, _socket, head) => {
		const address = readAddress(request.url ?? '')
		accept(request, head, (accepted) => void serve(accepted, request.headers, address))
	}
}

/** Whose it is, while nothing is read from it; who is refused is told so in a last frame. */
async function admitted(accepted: AcceptedSocket, newcomer: Newcomer): Promise<Principal | null> {
	try {
		return await admit(newcomer)
	} catch (thrown) {
		accepted.send(problemText(typedError(thrown)))
		return null
	}
}
