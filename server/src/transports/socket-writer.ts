import type { Socket } from 'node:net'
import { WebSocket } from 'ws'
import type { Turns } from '../connections/turns.js'
import { textFrame } from './text-frame.js'

export interface SocketWriterOptions {
	readonly client: WebSocket
	/** What the WebSocket was made of. */
	readonly socket: Socket
	readonly turns: Turns
}

/**
 * Writes whole frames past `ws`, which goes on to read, to ping and to close: a frame that was made once goes to every socket as it is.
 * What `ws` writes itself are whole frames, too, so that none ends up inside another.
 */
export class SocketWriter {
	readonly #client: WebSocket
	readonly #socket: Socket
	readonly #turns: Turns

	constructor({ client, socket, turns }: SocketWriterOptions) {
		this.#client = client
		this.#socket = socket
		this.#turns = turns
	}

	/** Nothing follows a close frame. @returns false when there is no room for more */
	write(frame: Buffer): boolean {
		if (this.#client.readyState !== WebSocket.OPEN) return true
		return this.#socket.write(frame) || !this.#turns.full
	}

	/** Sends a message to this one client. */
	send(text: string): void {
		this.write(textFrame(text))
	}
}
