import type { IncomingMessage } from 'node:http'
import { ERRORS } from '@planstream/shared'
import type { WebSocket } from 'ws'
import { clientIdOf, readClientId } from '../api/client-id.js'
import type { OnProblem } from '../api/procedure.js'
import type { AppRouter } from '../api/router.js'
import type { Authority } from '../auth/authority.js'
import type { ConnectionLimits } from '../connections/limits.js'
import type { Connections } from '../connections/registry.js'
import type { Schedule } from '../connections/schedule.js'
import type { Deliveries } from '../delivery/deliveries.js'
import { acceptWebSockets } from './accept-websocket.js'
import { admit } from './holder.js'
import { TrpcFailures } from './trpc-failures.js'
import { type Enter, TrpcSocket } from './trpc-socket.js'
import type { Upgrade } from './upgrade.js'

/** A mutation may carry a whole plan, so a frame may be as large as a request's body. */
const MAX_FRAME_BYTES = 1024 * 1024

export interface TrpcWebSocketOptions {
	readonly router: AppRouter
	readonly deliveries: Deliveries
	readonly connections: Connections
	readonly limits: ConnectionLimits
	readonly authority: Authority
	readonly schedule: Schedule
	readonly onProblem: OnProblem
}

/** tRPC over WebSocket. */
export function trpcWebSocket(options: TrpcWebSocketOptions): Upgrade {
	const { router, deliveries, limits, authority, schedule, onProblem } = options
	const accept = acceptWebSockets({ ...options, transport: 'trpc-websocket', maxFrameBytes: MAX_FRAME_BYTES })
	const service = { router, deliveries, failures: new TrpcFailures(router, onProblem) }
	return (request, _socket, head) => {
		const named = clientIdOf(request.url)
		accept(request, head, (accepted) => {
			const { client, connection } = accepted
			const expectsParams = announcesCredentials(request)
			const stopWaiting = expectsParams ? expectCredentials(client, schedule, limits.credentialsTimeoutMs) : undefined
			const { headers } = request
			const enter: Enter = async (params) => {
				const principal = await admit({ authority, headers, token: params?.token, client })
				stopWaiting?.()
				const { tenant, expired } = principal
				const client_id = named ?? readClientId(params?.client_id)
				// Who has left meanwhile would never be let go of.
				if (client.readyState === client.OPEN) connection.identify({ tenant, client_id, expired })
				return { principal }
			}
			new TrpcSocket(accepted, service, { enter, expectsParams })
		})
	}
}

/** tRPC clients with credentials say so in the URL and send them in their first message, for which the adapter waits for ever. */
function announcesCredentials({ url = '' }: IncomingMessage): boolean {
	return new URLSearchParams(url.split('?', 2)[1]).get('connectionParams') === '1'
}

/** @returns ends the wait; only the credentials do, whatever else is sent before them */
function expectCredentials(client: WebSocket, schedule: Schedule, timeoutMs: number): () => void {
	const timer = schedule(() => client.close(ERRORS.unauthorized.close, 'connectionParams did not come in time'), timeoutMs)
	const stop = (): void => timer[Symbol.dispose]()
	client.once('close', stop)
	return stop
}
