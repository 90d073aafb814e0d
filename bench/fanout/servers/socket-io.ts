import { createServer, type Server } from 'node:http'
import { createRequire } from 'node:module'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { deliveredEvent, planId } from '../../events.js'
import { peersFolder } from '../peers.js'
import { listen, type ServerUnderTest } from './server-under-test.js'

/** As much of socket.io as is used here; it is installed by hand, so its own types are not there. */
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

/** Longer than a run: the readers of the load generator do not answer pings. */
const PING_INTERVAL_MS = 600_000

/** A peer: a room for each plan. Nothing is stored. */
export async function socketIo(): Promise<ServerUnderTest> {
	const server = createServer()
	const installed = createRequire(`${peersFolder()}/package.json`)('socket.io') as { readonly Server: SocketIoClass }
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
			io.to(planId(plan)).emit('event', deliveredEvent(seq, stamp, plan))
			return nextTurn()
		},
	}
}
