import { createServer } from 'node:http'
import type { Socket } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { makeDeliveredEvent } from '../../events.js'
import { listen, type ServerUnderTest, Sockets } from './server-under-test.js'

/** Starts the floor of server-sent events: one chunk is written to every socket. */
export async function startRawSse(): Promise<ServerUnderTest> {
	const sockets = new Sockets<Socket>()
	const server = createServer((request, response) => {
		response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' })
		response.flushHeaders()
		if (response.socket !== null) sockets.add(request.url, response.socket)
	})
	return {
		port: await listen(server),
		subscribers: () => sockets.size,
		publish: (seq, stamp, plan) => {
			const event = makeDeliveredEvent(seq, stamp, plan)
			const block = `id: ${event.cursor}\ndata: ${JSON.stringify(event)}\n\n`
			const chunk = Buffer.from(`${Buffer.byteLength(block).toString(16)}\r\n${block}\r\n`)
			for (const socket of sockets.of(`/${event.plan_id}`)) socket.write(chunk)
			return nextTurn()
		},
	}
}
