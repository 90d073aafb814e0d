import { setImmediate } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { pairedSockets } from '#test/support/client/fake-websocket.js'
import { ManualClock } from '#test/support/manual-clock.js'
import type { StreamRequest } from './transport.js'
import { WebSocketTransport } from './websocket.js'

const REQUEST: StreamRequest = { route: { name: 'plans.events', path: '/' }, input: { plan_id: 'p' }, lastCursor: null }
const MEGABYTE = 'x'.repeat(1024 * 1024)

describe('the WebSocket transport', () => {
	it('stops a stream whose reader is slow before it fills the memory, and goes on from there when it has read', async () => {
		const { WebSocket, last } = pairedSockets()
		const transport = new WebSocketTransport({
			url: 'ws://host/trpc',
			token: null,
			WebSocket,
			clock: new ManualClock(),
			heartbeatMs: 1000,
		})
		const opening = transport.open(REQUEST, new AbortController().signal)
		const deliver = (id: number, seq: number): void => {
			const cursor = `e.${seq}`
			last().hear({ id, result: { type: 'data', id: cursor, data: { id: cursor, data: { seq, text: MEGABYTE } } } })
		}
		last().open()
		last().hear({ id: 1, result: { type: 'started' } })
		for (let seq = 1; seq <= 20; seq++) deliver(1, seq)
		expect(last().sent.at(-1)).toMatchObject({ id: 1, method: 'subscription.stop' })

		const stream = await opening
		const items = stream[Symbol.asyncIterator]()
		for (let seq = 1; seq <= 4; seq++) expect((await items.next()).value).toMatchObject({ cursor: `e.${seq}` })
		const fifth = items.next()
		await setImmediate() // the reader has caught up and waits
		last().open()
		expect(last().sent).toMatchObject([{ method: 'subscription', params: { lastEventId: 'e.4' } }])
		last().hear({ id: 1, result: { type: 'started' } })
		deliver(1, 5)
		expect((await fifth).value).toMatchObject({ cursor: 'e.5' })
	})
})
