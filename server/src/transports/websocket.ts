import { typedError } from '../api/errors.js'
import type { OnProblem } from '../api/procedure.js'
import type { Authority } from '../auth/authority.js'
import type { ConnectionLimits } from '../connections/limits.js'
import type { Connections } from '../connections/registry.js'
import type { Schedule } from '../connections/schedule.js'
import type { Deliveries } from '../delivery/deliveries.js'
import type { Principal } from '../hub/principal.js'
import { type AcceptedSocket, webSocketServer } from './accept-websocket.js'
import { admit, type Newcomer } from './holder.js'
import type { Upgrade } from './upgrade.js'
import { readAddress } from './websocket-input.js'
import { ignoreBrokenProtocol, problemText, WebSocketSession } from './websocket-session.js'

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
	const { limits, authority } = options
	const { accept } = webSocketServer({ ...options, transport: 'websocket', maxFrameBytes: MAX_MESSAGE_BYTES })
	return (request, socket, head) => {
		const { client_id, plan_ids } = readAddress(request.url ?? '')
		accept(request, socket, head, async (accepted) => {
			const { headers } = request
			const { client } = accepted
			client.pause()
			const principal = await admitted({ ...accepted, authority, headers })
			client.resume()
			if (principal === null || client.readyState !== client.OPEN) return
			const { tenant, expired } = principal
			accepted.connection.identify({ tenant, client_id, expired })
			const session = new WebSocketSession({ ...options, ...accepted, principal, heartbeatMs: limits.pingIntervalMs })
			void session.serve(plan_ids)
		})
	}
}

/** Whose it is, while nothing is read from it; who is refused is told so in a last frame. */
async function admitted(newcomer: Newcomer & AcceptedSocket): Promise<Principal | null> {
	try {
		return await admit(newcomer)
	} catch (thrown) {
		newcomer.client.on('error', ignoreBrokenProtocol)
		newcomer.writer.send(problemText(typedError(thrown)))
		return null
	}
}
