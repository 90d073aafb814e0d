import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { ERRORS, PlanstreamError } from '@planstream/shared'
import { getWSConnectionHandler } from '@trpc/server/adapters/ws'
import { type WebSocket, WebSocketServer } from 'ws'
import type { OnProblem } from '../api/procedure.js'
import type { AppRouter } from '../api/router.js'
import type { Authority } from '../auth/authority.js'
import { chooseProtocol } from '../auth/credentials.js'
import { aborted, drained, endStalled } from '../connections/back-pressure.js'
import type { Carrier } from '../connections/carrier.js'
import { keepAlive } from '../connections/heartbeat.js'
import type { ConnectionLimits } from '../connections/limits.js'
import type { Connection, Connections } from '../connections/registry.js'
import type { Schedule } from '../connections/schedule.js'
import { admit } from './holder.js'
import { MAX_BATCH_CALLS, reportAdapterFailures } from './trpc-failures.js'
import { refuse, type Upgrade } from './upgrade.js'

/** A mutation may carry a whole plan, so a frame may be as large as a request's body. */
const MAX_FRAME_BYTES = 1024 * 1024

export interface TrpcWebSocketOptions {
	readonly router: AppRouter
	readonly connections: Connections
	readonly limits: ConnectionLimits
	readonly authority: Authority
	readonly schedule: Schedule
	readonly onProblem: OnProblem
}

/** tRPC over WebSocket. */
export function trpcWebSocket(options: TrpcWebSocketOptions): Upgrade {
	const server = new WebSocketServer({
		noServer: true,
		clientTracking: false,
		maxPayload: MAX_FRAME_BYTES,
		handleProtocols: chooseProtocol,
	})
	server.on('wsClientError', ({ message }, socket) => refuse(socket, badHandshake(message)))
	const onError = reportAdapterFailures(options.onProblem)
	return (request, socket, head) => {
		let client: WebSocket | null = null
		const connection = options.connections.open({
			transport: 'trpc-websocket',
			leave: ({ code }) => setImmediate(() => client?.close(ERRORS[code].close, code)),
			terminate: () => socket.destroy(),
		})
		socket.once('close', () => connection[Symbol.dispose]())
		server.handleUpgrade(request, socket, head, (accepted) => {
			client = accepted
			serve({ options, server, client, request, connection, socket: socket as Socket, onError })
		})
	}
}

interface Accepted {
	readonly options: TrpcWebSocketOptions
	readonly server: WebSocketServer
	readonly client: WebSocket
	readonly request: IncomingMessage
	readonly connection: Connection
	readonly socket: Socket
	readonly onError: ReturnType<typeof reportAdapterFailures>
}

function serve({ options, server, client, request, connection, socket, onError }: Accepted): void {
	const { router, limits, authority, schedule } = options
	endStalled(socket, limits.stallTimeoutMs, () => client.terminate())
	keepAlive(client, { ...limits, schedule, onAlive: () => connection.seen() })
	const stopWaiting = announcesCredentials(request) ? expectCredentials(client, schedule, limits.credentialsTimeoutMs) : undefined
	const carrier = carriedBySocket({ connection, client, socket, limit: limits.sendBufferBytes })
	getWSConnectionHandler({
		wss: server,
		router,
		createContext: ({ info }) => {
			const { headers } = request
			const principal = admit({ authority, headers, token: info.connectionParams?.token, client, connection })
			stopWaiting?.()
			return { principal, carrier }
		},
		maxBatchSize: MAX_BATCH_CALLS,
		onError,
	})(client, request)
}

/** A stream asks for its next item when the socket has room: the adapter itself never looks. */
function carriedBySocket({ connection, client, socket, limit }: CarrierOptions): Carrier {
	return {
		begin: (plan_id) => {
			const stream = connection.begin(plan_id)
			return {
				drained: (signal) => drained(socket, () => client.bufferedAmount, limit, signal),
				cut: (signal) => {
					stream[Symbol.dispose]()
					return aborted(signal)
				},
				[Symbol.dispose]: () => stream[Symbol.dispose](),
			}
		},
	}
}

interface CarrierOptions {
	readonly connection: Connection
	readonly client: WebSocket
	readonly socket: Socket
	readonly limit: number
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

function badHandshake(message: string): PlanstreamError {
	return new PlanstreamError(
		'bad_request',
		`This is no WebSocket handshake: ${message}. Connect with a WebSocket client of version 13.`,
	)
}
