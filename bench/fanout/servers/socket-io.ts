import { createServer, type Server } from 'node:http'
import { createRequire } from 'node:module'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { makeDeliveredEvent, planId } from '../../events.js'
import { readPeersFolder } from '../peers.js'
import { listen, type ServerUnderTest } from './server-under-test.js'

/** The part of socket.io that is used here; it is installed by hand, so its own types are missing. */
interface SocketIo {
	on(event: 'connection', listener: (socket: { readonly handshake: Handshake; join(room: string): void }) => void): void
	to(room: string): { emit(event: string, data: unknown): void }
}

interface Handshake {
	readonly query: Readonly<Record<string, string>>
}

type SocketIoClass = new (
	server: Server,
	options: { readonly pingInterval: number; readonly transports: readonly string[] },
) => SocketIo

/** Longer than a run, because the readers of the load generator do not answer pings. */
const PING_INTERVAL_MS = 600_000

/** Starts a peer with one room per plan. It stores nothing. */
export async function startSocketIo(): Promise<ServerUnderTest> {
	const server = createServer()
	const installed = createRequire(`${readPeersFolder()}/package.json`)('socket.io') as { readonly Server: SocketIoClass }
	const io = new installed.Server(server, { pingInterval: PING_INTERVAL_MS, transports: ['websocket'] })
	let watching = 0
	io.on('connection', (socket) => {
		socket.join(socket.handshake.query.plan ?? '')
		watching++
	})
	return {
		port: await listen(server),
		subscribers: () => watching,
		publish: (seq, stamp, plan) => {
			io.to(planId(plan)).emit('event', makeDeliveredEvent(seq, stamp, plan))
			return nextTurn()
		},
	}
}
