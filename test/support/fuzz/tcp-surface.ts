import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { mutateBytes, pick, type Random } from './mutate.js'
import { findHttpFault, shorten } from './response-faults.js'
import type { Surface } from './surface.js'

const HANDSHAKE =
	'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n'
/** A client frame: a text, masked with zeros. */
const FRAME = `\x81\x8f\0\0\0\0${'{"action":"x"} '}`

/** Valid requests, as bytes. */
const REQUESTS = [
	'GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n',
	'GET /api/v1/plans?limit=1 HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\nConnection: keep-alive\r\n\r\n',
	'POST /api/v1/plans HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 24\r\n\r\n{"query":"q","steps":[]}',
	'POST /trpc/plans.pause HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{"a"\r\n3\r\n:1}\r\n0\r\n\r\n',
	'POST /api/v1/plans HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}',
	'POST /api/v1/admin/import HTTP/1.1\r\nHost: localhost\r\nContent-Length: 22\r\n\r\n{"format":"planstream"}',
	'GET /api/v1/admin/plans/p/export HTTP/1.1\r\nHost: localhost\r\n\r\n',
	'GET /api/v1/streaming/plans/p/events HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: 1\r\n\r\n',
	`GET /api/v1/streaming/ws/c?plan_id=p HTTP/1.1\r\nHost: localhost\r\n${HANDSHAKE}\r\n${FRAME}`,
	`GET /trpc?connectionParams=1 HTTP/1.1\r\nHost: localhost\r\n${HANDSHAKE}Sec-WebSocket-Protocol: a, b\r\n\r\n${FRAME}`,
	'CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n',
	'OPTIONS * HTTP/1.0\r\n\r\n',
].map((text) => Buffer.from(text, 'latin1'))

/** Sent after each message; its response shows that everything before it was answered. */
const LAST = Buffer.from('\r\n\r\nGET /last HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')
const LAST_ANSWERED = 'There is nothing at /last.'
/** Responses after which the server waits for further bytes, until the connection is half-closed. */
const PATIENCE = 8

/** Sends changed bytes on a bare connection. */
class RawSurface implements Surface {
	readonly #url: URL

	constructor(url: string) {
		this.#url = new URL(url)
	}

	async probe(random: Random): Promise<string | null> {
		const bytes = mutateBytes(random, pick(random, REQUESTS))
		const socket = connect(Number(this.#url.port), this.#url.hostname)
		const chunks: Buffer[] = []
		const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
		const answered = new Promise<void>((resolve) => {
			socket.on('error', () => undefined)
			socket.on('data', (chunk) => {
				chunks.push(chunk)
				if (chunk.includes(LAST_ANSWERED)) resolve()
			})
		})
		await once(socket, 'connect')
		socket.write(Buffer.concat([bytes, LAST]))
		await Promise.race([closed, answered, this.#patience(socket)])
		socket.end()
		if (isOpenEnded(Buffer.concat(chunks))) socket.destroy()
		await closed
		const fault = rawFault(Buffer.concat(chunks))
		return fault === null ? null : `${shorten(JSON.stringify(bytes.toString('latin1')))}: ${fault}`
	}

	async #patience(socket: Socket): Promise<void> {
		for (let left = PATIENCE; left > 0 && !socket.destroyed; left--)
			await (await fetch(new URL('/health/live', this.#url))).text()
	}

	[Symbol.asyncDispose](): Promise<void> {
		return Promise.resolve()
	}
}

/** A stream or a WebSocket, which stays open. */
function isOpenEnded(bytes: Buffer): boolean {
	return /^(HTTP\/1\.1 101 |content-type: text\/event-stream)/im.test(bytes.toString('latin1'))
}

const HEAD = /^HTTP\/1\.1 (\d{3}) [^\r]*\r\n((?:[^\r]+\r\n)*)\r\n/

/** Explains why the first complete response is untyped, or returns null. */
function rawFault(bytes: Buffer): string | null {
	const text = bytes.toString('latin1')
	const [head, status = '', fields = ''] = HEAD.exec(text) ?? []
	if (text === '') return null
	if (head === undefined) return `no answer of HTTP: ${shorten(JSON.stringify(text))}`
	const after = bytes.subarray(head.length)
	if (status === '100') return rawFault(after)
	const type = /^content-type: ([^\r]+)/im.exec(fields)?.[1] ?? ''
	if (status === '101' || type.startsWith('text/event-stream')) return null
	const body = bodyOf(fields, after)
	return body && (findHttpFault({ status: Number(status), type, text: body.text }) ?? rawFault(after.subarray(body.length)))
}

/** Returns the body of a response and its length in bytes; null while it is incomplete. */
function bodyOf(fields: string, bytes: Buffer): { readonly text: string; readonly length: number } | null {
	const length = Number(/^content-length: (\d+)/im.exec(fields)?.[1] ?? 0)
	if (!/^transfer-encoding: chunked/im.test(fields)) {
		return length > bytes.length ? null : { text: bytes.toString('utf8', 0, length), length }
	}
	const chunks: Buffer[] = []
	for (let at = 0; ; ) {
		const [line, size = ''] = /^([0-9a-f]+)\r\n/i.exec(bytes.toString('latin1', at, at + 20)) ?? []
		if (line === undefined) return null
		const from = at + line.length
		const to = from + Number.parseInt(size, 16)
		at = to + '\r\n'.length
		if (at > bytes.length) return null
		if (from === to) return { text: Buffer.concat(chunks).toString(), length: at }
		chunks.push(bytes.subarray(from, to))
	}
}

export function tcpSurface(url: string): Promise<Surface> {
	return Promise.resolve(new RawSurface(url))
}
