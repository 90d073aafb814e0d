import type { Socket } from 'node:net'
import { WebSocket } from 'ws'
import type { StallWatch } from '../connections/back-pressure.js'
import type { Turns } from '../connections/turns.js'
import type { Sink } from '../delivery/outlet.js'
import { textFrame } from './text-frame.js'

export interface SocketWriterOptions {
	readonly client: WebSocket
	/** What the WebSocket was made of. */
	readonly socket: Socket
	readonly turns: Turns
	readonly stall: StallWatch
}

/**
 * Writes whole frames past `ws`, which goes on to read, to ping and to close: a frame that was made once goes to every socket as it is.
 * What `ws` writes itself are whole frames, too, so that none ends up inside another.
 */
export class SocketWriter implements Sink {
	readonly #client: WebSocket
	readonly #socket: Socket
	readonly #turns: Turns
	readonly #stall: StallWatch

	constructor({ client, socket, turns, stall }: SocketWriterOptions) {
		this.#client = client
		this.#socket = socket
		this.#turns = turns
		this.#stall = stall
	}

	/** Nothing follows a close frame. @returns false when there is no room for more */
	write(frame: Buffer): boolean {
		if (this.#client.readyState !== WebSocket.OPEN) return true
		if (this.#socket.write(frame) || this.#socket.writableLength === 0) return true
		this.#stall.arm()
		return !this.#turns.full
	}

	/** Sends a message to this one client. */
	send(text: string): void {
		this.write(textFrame(text))
	}
}
