import { connect, type Socket } from 'node:net'
import { FrameScanner } from './frame-scanner.js'
import { type OnEvent, Scanner } from './scanner.js'
import type { Subject } from './subjects.js'
import { webSocketFrame } from './websocket-frame.js'

const END_OF_HEADERS = '\r\n\r\n'
/** Any 16 bytes will do: the key guards against caches, and there are none. */
const WEBSOCKET_KEY = Buffer.alloc(16).toString('base64')

/** The offer of browsers. */
const DEFLATE = 'permessage-deflate; client_max_window_bits'

/** Shared by all readers, since each chunk is scanned before the next read. */
const buffer = Buffer.allocUnsafe(256 * 1024)

export interface ReaderOptions {
	readonly port: number
	readonly subject: Subject
	readonly plan: number
	/** Whether it stops reading once it is connected. */
	readonly stalled: boolean
	/** Whether it inflates compressed frames or only counts them. */
	readonly inflates: boolean
	readonly onBytes: (count: number) => void
	readonly onEvent: OnEvent
	readonly onFault: (error: Error) => void
}

/** Opens one subscriber as a bare socket, which sends only the request for the stream. Resolves when the server has accepted. */
export function openReader({
	port,
	subject,
	plan,
	stalled,
	inflates,
	onBytes,
	onEvent,
	onFault,
}: ReaderOptions): Promise<Socket> {
	return new Promise((resolve, reject) => {
		const scanner = subject.offersDeflate === true ? new FrameScanner(inflates) : new Scanner()
		let headers: string | null = ''
		const take = (bytes: Buffer): void => {
			if (headers === null) {
				onBytes(bytes.length)
				scanner.scan(bytes, onEvent)
				return
			}
			headers += bytes.toString('latin1')
			const end = headers.indexOf(END_OF_HEADERS)
			if (end === -1) return
			const body = headers.slice(end + END_OF_HEADERS.length)
			const refused = findRefusal(headers.slice(0, end), subject)
			headers = null
			if (refused !== null) reject(refused)
			if (subject.greeting !== null) socket.write(webSocketFrame(subject.greeting(plan), 'client'))
			resolve(socket)
			take(Buffer.from(body, 'latin1'))
		}
		const onread = {
			buffer,
			callback: (count: number, bytes: Uint8Array): boolean => {
				take(Buffer.from(bytes.buffer, bytes.byteOffset, count))
				return !(stalled && headers === null)
			},
		}
		const socket = connect({ port, host: '127.0.0.1', noDelay: true, onread })
		const failed = (error: Error): void => {
			reject(error)
			onFault(error)
		}
		socket.on('error', failed)
		socket.on('end', () => failed(new Error(`${subject.name} closed a reader's connection.`)))
		socket.write(buildRequest(subject, plan, port))
	})
}

function buildRequest({ wire, path, offersDeflate }: Subject, plan: number, port: number): string {
	const upgrade = [
		'Connection: Upgrade',
		'Upgrade: websocket',
		'Sec-WebSocket-Version: 13',
		`Sec-WebSocket-Key: ${WEBSOCKET_KEY}`,
		...(offersDeflate === true ? [`Sec-WebSocket-Extensions: ${DEFLATE}`] : []),
	]
	const own = wire === 'websocket' ? upgrade : ['Accept: text/event-stream']
	return [`GET ${path(plan)} HTTP/1.1`, `Host: 127.0.0.1:${port}`, ...own].join('\r\n') + END_OF_HEADERS
}

function findRefusal(headers: string, { name, wire }: Subject): Error | null {
	const [status = ''] = headers.split('\r\n', 1)
	return status.startsWith(wire === 'websocket' ? 'HTTP/1.1 101' : 'HTTP/1.1 200')
		? null
		: new Error(`${name} answered ${status}.`)
}
