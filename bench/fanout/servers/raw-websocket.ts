import { createServer } from 'node:http'
import type { Duplex } from 'node:stream'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { WebSocketServer } from 'ws'
import { makeDeliveredEvent } from '../../events.js'
import { webSocketFrame } from '../websocket-frame.js'
import { listen, type ServerUnderTest, Sockets } from './server-under-test.js'

/** Starts the floor of WebSocket: `ws` accepts, and one frame is written to every socket. It has the bytes that tRPC would send. */
export async function startRawWebSocket(): Promise<ServerUnderTest> {
	const sockets = new Sockets<Duplex>()
	const server = createServer()
	const upgrades = new WebSocketServer({ noServer: true, clientTracking: false })
	server.on('upgrade', (request, socket, head) => {
		upgrades.handleUpgrade(request, socket, head, () => sockets.add(request.url, socket))
	})
	return {
		port: await listen(server),
		subscribers: () => sockets.size,
		publish: (seq, stamp, plan) => {
			const event = makeDeliveredEvent(seq, stamp, plan)
			const message = {
				id: 1,
				jsonrpc: '2.0',
				result: { id: event.cursor, type: 'data', data: { id: event.cursor, data: event } },
			}
			const frame = webSocketFrame(JSON.stringify(message), 'server')
			for (const socket of sockets.of(`/${event.plan_id}`)) socket.write(frame)
			return nextTurn()
		},
	}
}
