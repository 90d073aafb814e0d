import { EventEmitter } from 'node:events'
import { expect, test } from 'vitest'
import { Heartbeat, type PingableSocket } from './liveness.js'

/** A socket whose pings leave when the test says so. */
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
	/** Lets the only timer there is run out; says how long it was. */
	const expire = (): number => {
		const [[timer, { callback, delayMs }] = expect.fail('no timer')] = timers
		expect(timers.size).toBe(1)
		timers.delete(timer)
		callback()
		return delayMs
	}
	return { socket, heartbeat, timers, expire, alive: () => alive }
}

test('a ping that is answered is followed by the next one', () => {
	const { socket, expire, alive } = start()
	expect(expire()).toBe(30_000)
	socket.unflushed.shift()?.()
	socket.emit('pong')
	expect(alive()).toBe(1)
	expect(expire()).toBe(30_000)
	expect(socket.unflushed).toHaveLength(1)
	expect(socket.terminated).toBe(0)
})

test('a ping that has left and is not answered ends the connection', () => {
	const { socket, expire } = start()
	expire()
	socket.unflushed.shift()?.()
	expect(expire()).toBe(10_000)
	expect(socket.terminated).toBe(1)
})

test('while a ping waits behind what a slow reader has not taken, no answer is due', () => {
	const { socket, expire, timers } = start()
	expire()
	expect(timers.size).toBe(0)
	socket.unflushed.shift()?.()
	expect(timers.size).toBe(1)
})

test('a message is as good as a pong, also when the ping leaves after it', () => {
	const { socket, expire, timers } = start()
	expire()
	socket.emit('message')
	socket.unflushed.shift()?.()
	expect([...timers.values()].map(({ delayMs }) => delayMs)).toEqual([30_000])
})

test('two pings that leave at once are answered by one pong', () => {
	const { socket, expire, timers } = start()
	expire()
	socket.emit('message')
	expire()
	for (const flushed of socket.unflushed.splice(0)) flushed()
	socket.emit('pong')
	expect([...timers.values()].map(({ delayMs }) => delayMs)).toEqual([30_000])
})

test('no timer is left of it when it is disposed, with or without an answer due, whatever comes after that', () => {
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

test('an answer that this process does not read is not missed', () => {
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
