import type { Schedule } from './schedule.js'

/** The part of a WebSocket that a heartbeat needs. */
export interface PingableSocket {
	/** `flushed` is called when the frame has left this process, or with the reason why it has not. */
	ping(data: string, mask: boolean, flushed: (error?: Error | null) => void): void
	terminate(): void
	/** True while this process has chosen to read nothing, and could not see an answer. */
	readonly isPaused: boolean
	on(event: 'pong' | 'message' | 'close', listener: () => void): unknown
	off(event: 'pong' | 'message' | 'close', listener: () => void): unknown
}

export interface HeartbeatOptions {
	/** Milliseconds from one answer to the next ping. */
	readonly pingIntervalMs: number
	/** Milliseconds for an answer, counted from when the ping has left: a slow reader first has to take what is queued before it. */
	readonly pongTimeoutMs: number
	readonly schedule: Schedule
	/** Called with each sign of life. */
	readonly onAlive: () => void
}

/** Pings a WebSocket until it closes, and terminates it when nothing comes after a ping. */
export function keepAlive(socket: PingableSocket, { pingIntervalMs, pongTimeoutMs, schedule, onAlive }: HeartbeatOptions): void {
	let waiting = false
	const expire = (): void => {
		if (socket.isPaused) timer = schedule(expire, pongTimeoutMs)
		else socket.terminate()
	}
	const ping = (): void => {
		waiting = true
		socket.ping('', false, (error) => {
			if (waiting && error == null) timer = schedule(expire, pongTimeoutMs)
		})
	}
	let timer = schedule(ping, pingIntervalMs)
	const alive = (): void => {
		onAlive()
		if (!waiting) return
		waiting = false
		timer[Symbol.dispose]()
		timer = schedule(ping, pingIntervalMs)
	}
	const close = (): void => {
		waiting = false
		timer[Symbol.dispose]()
		socket.off('pong', alive)
		socket.off('message', alive)
		socket.off('close', close)
	}
	socket.on('pong', alive)
	socket.on('message', alive)
	socket.on('close', close)
}
