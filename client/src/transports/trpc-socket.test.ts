import { describe, expect, it } from 'vitest'
import { createFakeWebSockets, type FakeWebSocket } from '#test/support/client/fake-websocket.js'
import { ManualClock } from '#test/support/manual-clock.js'
import { TransportUnusable } from './transport.js'
import { type Receiver, TrpcSocket } from './trpc-socket.js'

function setUp() {
	const clock = new ManualClock()
	const { WebSocket, last } = createFakeWebSockets()
	const socket = new TrpcSocket({ url: 'ws://host/trpc', token: null, WebSocket, clock, heartbeatMs: 1000 })
	return { clock, pair: last(), socket }
}

/** Creates a receiver that records what it is given. */
function listener(): Receiver & { readonly heard: unknown[] } {
	const heard: unknown[] = []
	return {
		heard,
		onStarted: () => heard.push('started'),
		onData: (item, id) => heard.push([id, item]),
		onStopped: () => heard.push('stopped'),
		onFailed: (error) => heard.push(error instanceof TransportUnusable ? 'TransportUnusable' : error.name),
	}
}

const params = { path: 'plans.events', input: { plan_id: 'p' } }
const subscribe = (id: number, more = {}) => ({ id, jsonrpc: '2.0', method: 'subscription', params: { ...params, ...more } })

describe('TrpcSocket', () => {
	it('sends messages queued before it was open, in order, once it opens', () => {
		const { pair, socket } = setUp()
		socket.subscribe(params, listener())
		socket.subscribe({ ...params, lastEventId: 'e.7' }, listener())
		expect(pair.sent).toEqual([])
		pair.open()
		expect(pair.sent).toEqual([subscribe(1), subscribe(2, { lastEventId: 'e.7' })])
	})

	it('routes each message to its subscription and drops those for one that was stopped', () => {
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

	it('closes and leaves no timer when its last subscription stops or fails', () => {
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
		['what is not JSON', (pair: FakeWebSocket) => pair.hear('{'), 'TransportUnusable'],
		['a result that is none', (pair: FakeWebSocket) => pair.hear({ id: 1, result: null }), 'TransportUnusable'],
	])('notifies every subscription of %s', (_, happen, error) => {
		const { pair, socket, clock } = setUp()
		const [one, two] = [listener(), listener()]
		socket.subscribe(params, one)
		socket.subscribe(params, two)
		pair.open()
		happen(pair)
		expect([one.heard, two.heard]).toEqual([[error], [error]])
		expect([socket.usable, clock.pending]).toEqual([false, 0])
	})

	it('pings a silent server and reports a lost connection after 2.5 heartbeats without an answer', () => {
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

	it('sends no ping while messages arrive, and answers pings of the server', () => {
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

	it.each([null, 1, [], {}, { id: 99, result: { type: 'data', data: 1 } }])('ignores the message %j', (message) => {
		const { pair, socket } = setUp()
		socket.subscribe(params, listener())
		pair.open()
		pair.hear(JSON.stringify(message))
		expect(socket.usable).toBe(true)
	})
})
