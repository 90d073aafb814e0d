import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface SilentServer extends AsyncDisposable {
	readonly port: number
	readonly url: string
}

/** Starts a server whose responses begin and then stay silent, so that intermediaries give up after their own timeouts. */
export async function startSilentServer(): Promise<SilentServer> {
	const server = createServer((_, outgoing) => {
		outgoing.writeHead(200, { 'content-type': 'text/event-stream', 'x-accel-buffering': 'no' })
		outgoing.write(': begun\n\n')
	})
	await once(server.listen(0, '127.0.0.1'), 'listening')
	const { port } = server.address() as AddressInfo
	return {
		port,
		url: `http://127.0.0.1:${port}`,
		[Symbol.asyncDispose]: async () => {
			server.closeAllConnections()
			server.close()
			await once(server, 'close')
		},
	}
}
