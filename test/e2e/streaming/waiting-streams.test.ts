import { once } from 'node:events'
import { connect } from 'node:net'
import { expect, it } from 'vitest'
import type { RunningServer } from '../../../server/src/server.js'
import { sendRequest } from '../../support/http-request.js'
import { startTestServer } from '../../support/servers/test-server.js'

const connections = async (server: RunningServer) =>
	/^planstream_connections (\d+)$/m.exec((await sendRequest(server, '/metrics')).text)?.[1]

it('a live list that waits behind another answer does not begin, and ends with its connection', async () => {
	await using server = await startTestServer()
	const { port, hostname, host } = new URL(server.url)
	const socket = connect(Number(port), hostname)
	await once(socket, 'connect')
	for (const path of ['p/events', 'changes'])
		socket.write(`GET /api/v1/streaming/plans/${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
	await once(socket, 'data')
	expect(await connections(server)).toBe('1')
	socket.destroy()
	await expect.poll(() => connections(server)).toBe('0')
})
