import { EventEmitter } from 'node:events'
import { describe, expect, it } from 'vitest'
import { Heartbeat, type PingableSocket } from './liveness.js'

/** A socket that flushes its pings when the test says so. */
class FakeSocket extends EventEmitter implements PingableSocket {
	readonly unflushed: (() => void)[] = []
	terminated = 0
	isPaused = false
	ping(_data: string, _mask: boolean, flushed: () => void): void {
		this.unflushed.push(flushed)
	}
	terminate(): void {
		this.terminated++
	}
}

function start() {
	const socket = new FakeSocket()
	const timers = new Map<object, { callback: () => void; delayMs: number }>()
	let alive = 0
	const living = { touch: () => void alive++ }
	const heartbeat = new Heartbeat(socket, living, {
		pingIntervalMs: 30_000,
		pongTimeoutMs: 10_000,
		schedule: (callback, delayMs) => {
			const timer = { [Symbol.dispose]: () => void timers.delete(timer) }
			timers.set(timer, { callback, delayMs })
			return timer
		},
	})
	/** Fires the only timer and returns its delay. */
	const expire = (): number => {
		const [[timer, { callback, delayMs }] = expect.fail('no timer')] = timers
		expect(timers.size).toBe(1)
		timers.delete(timer)
		callback()
		return delayMs
	}
	return { socket, heartbeat, timers, expire, alive: () => alive }
}

describe('Heartbeat', () => {
	it('sends the next ping after a ping was answered', () => {
		const { socket, expire, alive } = start()
		expect(expire()).toBe(30_000)
		socket.unflushed.shift()?.()
		socket.emit('pong')
		expect(alive()).toBe(1)
		expect(expire()).toBe(30_000)
		expect(socket.unflushed).toHaveLength(1)
		expect(socket.terminated).toBe(0)
	})

	it('ends the connection when a flushed ping is not answered', () => {
		const { socket, expire } = start()
		expire()
		socket.unflushed.shift()?.()
		expect(expire()).toBe(10_000)
		expect(socket.terminated).toBe(1)
	})

	it('expects no answer while a ping waits behind data that a slow reader has not taken', () => {
		const { socket, expire, timers } = start()
		expire()
		expect(timers.size).toBe(0)
		socket.unflushed.shift()?.()
		expect(timers.size).toBe(1)
	})

	it('accepts a message as an answer, also when the ping is flushed after it', () => {
		const { socket, expire, timers } = start()
		expire()
		socket.emit('message')
		socket.unflushed.shift()?.()
		expect([...timers.values()].map(({ delayMs }) => delayMs)).toEqual([30_000])
	})

	it('accepts one pong for two pings that are flushed together', () => {
		const { socket, expire, timers } = start()
		expire()
		socket.emit('message')
		expire()
		for (const flushed of socket.unflushed.splice(0)) flushed()
		socket.emit('pong')
		expect([...timers.values()].map(({ delayMs }) => delayMs)).toEqual([30_000])
	})

	it('leaves no timer when it is disposed, whether or not an answer is due', () => {
		const { socket, heartbeat, expire, timers } = start()
		expire()
		socket.unflushed.shift()?.()
		heartbeat[Symbol.dispose]()
		expect(timers.size).toBe(0)
		socket.emit('message')
		expect(timers.size).toBe(0)
		const other = start()
		other.expire()
		other.heartbeat[Symbol.dispose]()
		other.socket.unflushed.shift()?.()
		expect(other.timers.size).toBe(0)
	})

	it('expects no answer while this process has paused reading', () => {
		const { socket, expire } = start()
		expire()
		socket.unflushed.shift()?.()
		socket.isPaused = true
		expect(expire()).toBe(10_000)
		expect(socket.terminated).toBe(0)
		socket.isPaused = false
		expect(expire()).toBe(10_000)
		expect(socket.terminated).toBe(1)
	})
})
