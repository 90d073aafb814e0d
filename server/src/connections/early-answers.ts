import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** Bytes of a body that are read and dropped behind its answer; see PROTOCOL.md section 7. */
const MAX_DROPPED_BYTES = 1024 * 1024
/** Time for the client to read the answer. */
const LINGER_MS = 2000

/**
 * Lets an answer that is made before the whole body is there reach its client. It says `Connection: close`, and the connection is
 * closed for writing behind it and stays open for reading a little longer: to close it while bytes arrive would reset it, and a
 * reset takes the answer from the client.
 */
export function keepEarlyAnswer(incoming: IncomingMessage, outgoing: ServerResponse): void {
	const { 'content-length': length = '0', 'transfer-encoding': coding } = incoming.headers
	if (coding === undefined && length === '0') return
	const writeHead = outgoing.writeHead.bind(outgoing) as (...head: unknown[]) => ServerResponse
	outgoing.writeHead = (...head: unknown[]) => {
		if (!incoming.complete && !outgoing.headersSent) {
			outgoing.setHeader('connection', 'close')
			dropBody(incoming)
			lingerOnEnd(incoming.socket)
		}
		return writeHead(...head)
	}
}

/** Reads on, up to the limit: then the client's writes wait while it reads the answer. */
function dropBody(incoming: IncomingMessage): void {
	let dropped = 0
	// Another reader of the body may pause it at each piece.
	incoming.on('data', ({ length }: Buffer) => {
		dropped += length
		if (dropped > MAX_DROPPED_BYTES) incoming.pause()
		else incoming.resume()
	})
	incoming.resume()
}

/** Closes a connection in two steps when Node would close it at once. */
function lingerOnEnd(socket: Socket): void {
	let isLingering = false
	socket.destroySoon = () => {
		if (isLingering) return
		isLingering = true
		socket.end()
		const timer = setTimeout(() => socket.destroy(), LINGER_MS)
		timer.unref()
		socket.once('close', () => clearTimeout(timer))
	}
}
