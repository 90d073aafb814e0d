import { describe, expect, it } from 'vitest'
import { createFakeWebSockets, type FakeWebSocket } from '#test/support/client/fake-websocket.js'
import { ManualClock } from '#test/support/manual-clock.js'
import { type Receiver, TrpcSocket } from './trpc-socket.js'

function setUp() {
	const clock = new ManualClock()
	const { WebSocket, last } = createFakeWebSockets()
	const socket = new TrpcSocket({ url: 'ws://host/trpc', token: null, WebSocket, clock, heartbeatMs: 1000 })
	return { clock, pair: last(), socket }
}

/** A receiver that keeps what it hears. */
function listener(): Receiver & { readonly heard: unknown[] } {
	const heard: unknown[] = []
	return {
		heard,
		onStarted: () => heard.push('started'),
		onData: (item, id) => heard.push([id, item]),
		onStopped: () => heard.push('stopped'),
		onFailed: (error) => heard.push(error.name),
	}
}

const params = { path: 'plans.events', input: { plan_id: 'p' } }
const subscribe = (id: number, more = {}) => ({ id, jsonrpc: '2.0', method: 'subscription', params: { ...params, ...more } })

describe('a socket that speaks the protocol of tRPC', () => {
	it('sends what was asked before it was open, in order, once it is', () => {
		const { pair, socket } = setUp()
		socket.subscribe(params, listener())
		socket.subscribe({ ...params, lastEventId: 'e.7' }, listener())
		expect(pair.sent).toEqual([])
		pair.open()
		expect(pair.sent).toEqual([subscribe(1), subscribe(2, { lastEventId: 'e.7' })])
	})

	it('gives each subscription its own messages, and none to one that has left', () => {
		const { pair, socket } = setUp()
		const [one, two] = [listener(), listener()]
		const leave = socket.subscribe(params, one)
		socket.subscribe(params, two)
		pair.open()
		pair.hear({ id: 1, result: { type: 'started' } })
		pair.hear({ id: 2, result: { type: 'data', id: 'e.1', data: { id: 'e.1', data: { seq: 1 } } } })
		leave()
		pair.hear({ id: 1, result: { type: 'data', id: 'e.1', data: { id: 'e.1', data: { seq: 1 } } } })
		expect(one.heard).toEqual(['started'])
		expect(two.heard).toEqual([['e.1', { seq: 1 }]])
		expect(pair.sent.at(-1)).toEqual({ id: 1, jsonrpc: '2.0', method: 'subscription.stop' })
	})

	it('closes and leaves no timer when its last subscription has left, stopped or failed', () => {
		const endings: ((pair: FakeWebSocket, leave: () => void) => void)[] = [
			(_, leave) => leave(),
			(pair) => pair.hear({ id: 1, result: { type: 'stopped' } }),
			(pair) => pair.hear({ id: 1, error: { message: 'No.', data: { code: 'BAD_REQUEST' } } }),
		]
		for (const end of endings) {
			const { pair, socket, clock } = setUp()
			const leave = socket.subscribe(params, listener())
			pair.open()
			end(pair, leave)
			expect([socket.usable, pair.readyState, clock.pending]).toEqual([false, 3, 0])
		}
	})

	it.each([
		['a lost connection', (pair: FakeWebSocket) => pair.lose(1006), 'ConnectionLost'],
		['a close code that may reconnect', (pair: FakeWebSocket) => pair.lose(4308, 'slow'), 'ConnectionLost'],
		['a close code that must not reconnect', (pair: FakeWebSocket) => pair.lose(4401), 'PlanstreamError'],
		['a reconnect notice', (pair: FakeWebSocket) => pair.hear({ id: null, method: 'reconnect' }), 'ConnectionLost'],
		['an error of the whole connection', (pair: FakeWebSocket) => pair.hear({ id: null, error: {} }), 'PlanstreamError'],
		['what is not JSON', (pair: FakeWebSocket) => pair.hear('{'), 'ConnectionLost'],
	])('tells every subscription of %s', (_, happen, error) => {
		const { pair, socket, clock } = setUp()
		const [one, two] = [listener(), listener()]
		socket.subscribe(params, one)
		socket.subscribe(params, two)
		pair.open()
		happen(pair)
		expect([one.heard, two.heard]).toEqual([[error], [error]])
		expect([socket.usable, clock.pending]).toEqual([false, 0])
	})

	it('asks for a sign of life in silence, and takes 2.5 heartbeats of it for a cut', () => {
		const { pair, socket, clock } = setUp()
		const one = listener()
		socket.subscribe(params, one)
		pair.open()
		clock.advance(1000)
		expect(pair.sent.at(-1)).toBe('PING')
		pair.hear('PONG')
		clock.advance(2000)
		expect(one.heard).toEqual([])
		clock.advance(500)
		expect(one.heard).toEqual(['ConnectionLost'])
	})

	it('asks for nothing while messages come, and answers when it is asked', () => {
		const { pair, socket, clock } = setUp()
		socket.subscribe(params, listener())
		pair.open()
		for (let times = 0; times < 10; times++) {
			clock.advance(500)
			pair.hear({ id: 1, result: { type: 'started' } })
		}
		expect(pair.sent).toEqual([subscribe(1)])
		pair.hear('PING')
		expect(pair.sent.at(-1)).toBe('PONG')
	})

	it.each([null, 1, [], {}, { id: 99, result: { type: 'data', data: 1 } }, { id: 1, result: null }])('survives %j', (message) => {
		const { pair, socket } = setUp()
		socket.subscribe(params, listener())
		pair.open()
		pair.hear(JSON.stringify(message))
		expect(socket.usable).toBe(true)
	})
})
