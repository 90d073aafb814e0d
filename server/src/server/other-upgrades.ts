import type { EventEmitter } from 'node:events'
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'

/** Headers that offer another protocol, or are about this connection only. */
const LEFT_OUT: ReadonlySet<string> = new Set(['upgrade', 'connection', 'http2-settings'])

/** Whether a request asks for a WebSocket, and not for another protocol. */
export function isWebSocketUpgrade({ headers: { upgrade } }: Pick<IncomingMessage, 'headers'>): boolean {
	return upgrade?.toLowerCase() === 'websocket'
}

/**
 * Has a request that offers another protocol, as those of Java's own client and of `curl --http2` offer HTTP/2, answered as if it
 * did not: a server may ignore what it does not speak (RFC 9110, 7.8). Node hands over the connection instead of the request, so the
 * request is put back in front of what follows it, without the offer, and the connection begins anew, once.
 */
export function ignoreUpgrade(server: Pick<EventEmitter, 'emit'>, request: IncomingMessage, socket: Duplex, head: Buffer): void {
	socket.unshift(Buffer.concat([Buffer.from(withoutOffer(request), 'latin1'), head]))
	server.emit('connection', socket)
}

function withoutOffer({ method, url, httpVersion, rawHeaders }: IncomingMessage): string {
	const lines = [`${method} ${url} HTTP/${httpVersion}`, 'Connection: close']
	for (let at = 0; at < rawHeaders.length; at += 2) {
		const name = rawHeaders[at] ?? ''
		if (!LEFT_OUT.has(name.toLowerCase())) lines.push(`${name}: ${rawHeaders[at + 1]}`)
	}
	return `${lines.join('\r\n')}\r\n\r\n`
}
