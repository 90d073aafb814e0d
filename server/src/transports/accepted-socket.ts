import type { Socket } from 'node:net'
import { ERRORS, type PlanstreamError } from '@planstream/shared'
import type { WebSocket } from 'ws'
import { type SendBuffer, StallWatch } from '../connections/back-pressure.js'
import { Heartbeat } from '../connections/heartbeat.js'
import type { ConnectionLimits } from '../connections/limits.js'
import type { Connection, ConnectionEnds, Connections, Transport } from '../connections/registry.js'
import type { Schedule } from '../connections/schedule.js'
import { Turns } from '../connections/turns.js'
import { SocketWriter } from './socket-writer.js'
import { DEFLATED, type Framing, PLAIN } from './text-frame.js'

/** What all WebSockets of one transport share. */
export interface AcceptedOptions extends ConnectionLimits {
	readonly transport: Transport
	readonly connections: Connections
	readonly schedule: Schedule
}

/** A WebSocket after its handshake: counted, kept alive, and let go when it takes nothing. */
export class AcceptedSocket implements ConnectionEnds, SendBuffer {
	readonly client: WebSocket
	/** What the WebSocket was made of. */
	readonly sink: Socket
	readonly connection: Connection
	/** The one way to write to it as much as a client asks for. */
	readonly turns: Turns
	readonly writer: SocketWriter
	readonly #options: AcceptedOptions

	/** @throws PlanstreamError `too_many_connections`, `draining` */
	constructor(client: WebSocket, socket: Socket, options: AcceptedOptions) {
		this.client = client
		this.sink = socket
		this.#options = options
		this.turns = new Turns(this)
		this.connection = options.connections.open(this)
		const stall = new StallWatch(socket, options.stallTimeoutMs, this.connection)
		this.writer = new SocketWriter({ client, socket, turns: this.turns, stall })
		const heartbeat = new Heartbeat(client, this.connection, options)
		socket.on('close', () => {
			heartbeat[Symbol.dispose]()
			this.connection[Symbol.dispose]()
		})
	}

	get transport(): Transport {
		return this.#options.transport
	}

	get framing(): Framing {
		return this.client.extensions === '' ? PLAIN : DEFLATED
	}

	get lagging(): boolean {
		return this.turns.full
	}

	get queued(): number {
		return this.sink.writableLength
	}

	get limit(): number {
		return this.#options.sendBufferBytes
	}

	leave({ code }: PlanstreamError): void {
		setImmediate(() => this.client.close(ERRORS[code].close, code))
	}

	terminate(): void {
		this.client.terminate()
	}
}
