import type { Socket } from 'node:net'
import { ERRORS, type PlanstreamError } from '@planstream/shared'
import { WebSocket } from 'ws'
import type { SendBuffer } from '../connections/back-pressure.js'
import { Heartbeat } from '../connections/heartbeat.js'
import type { ConnectionLimits } from '../connections/limits.js'
import type { Connection, ConnectionEnds, Connections, Transport } from '../connections/registry.js'
import type { Schedule } from '../connections/schedule.js'
import { StallWatch } from '../connections/stall-watch.js'
import { Turns } from '../connections/turns.js'
import type { Sink } from '../delivery/outlet.js'
import type { Framings } from './framing.js'
import { textFrame } from './text-frame.js'

/** What all WebSockets of one transport share. */
export interface AcceptedOptions extends ConnectionLimits {
	readonly transport: Transport
	readonly connections: Connections
	readonly schedule: Schedule
}

/**
 * A WebSocket after its handshake: counted, kept alive, and let go when it takes nothing. It writes whole frames past `ws`, which goes on
 * to read, to ping and to close: a frame that was made once goes to every socket as it is. What `ws` writes itself are whole frames, too,
 * so that none ends up inside another.
 */
export class AcceptedSocket implements Sink, ConnectionEnds, SendBuffer {
	readonly client: WebSocket
	/** What the WebSocket was made of. */
	readonly writable: Socket
	readonly connection: Connection
	/** The one way to write to it as much as a client asks for. */
	readonly turns: Turns
	readonly framings: Framings
	readonly #options: AcceptedOptions
	/** Made when there is no room for the first time. */
	#stall: StallWatch | null = null

	/** @throws PlanstreamError `too_many_connections`, `draining` */
	constructor(client: WebSocket, socket: Socket, options: AcceptedOptions, framings: Framings) {
		this.client = client
		this.writable = socket
		this.#options = options
		this.framings = framings
		this.turns = new Turns(this)
		this.connection = options.connections.open(this)
		client.on('error', ignoreBrokenProtocol)
		const heartbeat = new Heartbeat(client, this.connection, options)
		socket.on('close', () => {
			heartbeat[Symbol.dispose]()
			this.connection[Symbol.dispose]()
		})
	}

	get transport(): Transport {
		return this.#options.transport
	}

	get lagging(): boolean {
		return this.turns.full
	}

	get queued(): number {
		return this.writable.writableLength
	}

	get limit(): number {
		return this.#options.sendBufferBytes
	}

	/** Nothing follows a close frame. @returns false when there is no room for more */
	write(frame: Buffer): boolean {
		if (this.client.readyState !== WebSocket.OPEN) return true
		if (this.writable.write(frame) || this.writable.writableLength === 0) return true
		this.#stall ??= new StallWatch(this.writable, this.#options.stallTimeoutMs, this.connection)
		this.#stall.arm()
		return !this.turns.full
	}

	/** Sends a message to this one client. */
	send(text: string): void {
		this.write(textFrame(text))
	}

	leave({ code }: PlanstreamError): void {
		setImmediate(() => this.client.close(ERRORS[code].close, code))
	}

	terminate(): void {
		this.client.terminate()
	}
}

/** A peer that breaks the protocol is closed by `ws`; `close` follows and ends everything. */
function ignoreBrokenProtocol(): void {}
