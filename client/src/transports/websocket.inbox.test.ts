import { describe, expect, it } from 'vitest'
import { Inbox } from './websocket.js'

async function all<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
	const list: Item[] = []
	for await (const item of items) list.push(item)
	return list
}

describe('an inbox', () => {
	it('hands over in order what came before and while it was read', async () => {
		const inbox = new Inbox<number>(10)
		inbox.push(1, 1)
		const read = all(inbox.read())
		inbox.push(2, 1)
		await Promise.resolve()
		inbox.push(3, 1)
		inbox.end()
		expect(await read).toEqual([1, 2, 3])
	})

	it('hands over everything before the error it ends with', async () => {
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

	it('takes no more than its bound and the item that crosses it, and says so', async () => {
		const inbox = new Inbox<string>(5)
		expect(['a', 'b', 'c', 'd'].map((item) => inbox.push(item, 3))).toEqual([true, true, false, false])
		expect(inbox.overflowed).toBe(true)
		expect(await all(inbox.read())).toEqual(['a', 'b'])
	})

	it('has room again for what was read', async () => {
		const inbox = new Inbox<number>(1)
		const items = inbox.read()
		for (let item = 0; item < 100; item++) {
			expect(inbox.push(item, 2)).toBe(true)
			expect((await items.next()).value).toBe(item)
		}
		expect(inbox.overflowed).toBe(false)
	})
})
