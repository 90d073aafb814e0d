import { setImmediate } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { createFakeWebSockets } from '#test/support/client/fake-websocket.js'
import { ManualClock } from '#test/support/manual-clock.js'
import type { StreamRequest } from './transport.js'
import { Inbox, WebSocketTransport } from './websocket.js'

const ROUTE = { name: 'plans.events', path: '/', item: 'any' } as const
const REQUEST: StreamRequest = { route: ROUTE, input: { plan_id: 'p' }, lastCursor: null }
const MEGABYTE = 'x'.repeat(1024 * 1024)

describe('WebSocketTransport', () => {
	it('stops a stream before a slow reader fills the memory, and resumes once it has read', async () => {
		const { WebSocket, last } = createFakeWebSockets()
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

async function all<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
	const list: Item[] = []
	for await (const item of items) list.push(item)
	return list
}

describe('Inbox', () => {
	it('yields in order what was pushed before and during reading', async () => {
		const inbox = new Inbox<number>(10)
		inbox.push(1, 1)
		const read = all(inbox.read())
		inbox.push(2, 1)
		await Promise.resolve()
		inbox.push(3, 1)
		inbox.end()
		expect(await read).toEqual([1, 2, 3])
	})

	it('yields everything pushed before the error it ends with', async () => {
		const inbox = new Inbox<number>(10)
		inbox.push(1, 1)
		inbox.end(new Error('cut'))
		inbox.end(null)
		const seen: number[] = []
		const reading = (async () => {
			for await (const item of inbox.read()) seen.push(item)
		})()
		await expect(reading).rejects.toThrow('cut')
		expect(seen).toEqual([1])
	})

	it('accepts no more than its limit plus the item that crosses it, and reports the overflow', async () => {
		const inbox = new Inbox<string>(5)
		expect(['a', 'b', 'c', 'd'].map((item) => inbox.push(item, 3))).toEqual([true, true, false, false])
		expect(inbox.overflowed).toBe(true)
		expect(await all(inbox.read())).toEqual(['a', 'b'])
	})

	it('has room again after items were read', async () => {
		const inbox = new Inbox<number>(1)
		const items = inbox.read()
		for (let item = 0; item < 100; item++) {
			expect(inbox.push(item, 2)).toBe(true)
			expect((await items.next()).value).toBe(item)
		}
		expect(inbox.overflowed).toBe(false)
	})
})
