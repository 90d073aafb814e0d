import { PlanstreamError } from '@planstream/shared'
import { expect, test } from 'vitest'
import type { StreamItem } from '../hub/stream-item.js'
import { deliver } from './delivery.js'

function item(seq: number): StreamItem {
	return { kind: 'event', stored: { seq, cursor: `e.${seq}`, text: `{"seq":${seq}}` } }
}

/** A stream of three, an outlet whose turns the test gives, and what was written. */
function start() {
	const left = new AbortController()
	const ending = new AbortController()
	const turns: ((turn: Disposable | null) => void)[] = []
	const written: unknown[] = []
	let open = 1
	async function* items(): AsyncGenerator<StreamItem, void, void> {
		try {
			for (const seq of [1, 2, 3]) yield item(seq)
		} finally {
			open = 0
		}
	}
	const outlet = {
		turn: () => new Promise<Disposable | null>((resolve) => turns.push(resolve)),
		write: (next: StreamItem) => void written.push(next.kind === 'event' && next.stored.seq),
	}
	const delivered = deliver(items(), outlet, { left: left.signal, ending: ending.signal })
	let given = 0
	const give = async (turn: Disposable | null = { [Symbol.dispose]: () => void given++ }) => {
		await expect.poll(() => turns.length).toBe(1)
		turns.shift()?.(turn)
	}
	return { left, ending, give, written, delivered, disposed: () => given, open: () => open }
}

test('an item is written in its turn, which then passes on', async () => {
	const { give, written, delivered, disposed, open } = start()
	for (const _item of [1, 2, 3]) await give()
	await delivered
	expect([written, disposed(), open()]).toEqual([[1, 2, 3], 3, 0])
})

test('nothing is written for a reader that left while its item waited, and its turn passes on', async () => {
	const { left, give, written, delivered, disposed, open } = start()
	await give()
	left.abort()
	await give()
	await delivered
	expect([written, disposed(), open()]).toEqual([[1], 2, 0])
})

test('a stream that is to end while there is no room ends without a last word', async () => {
	const { ending, give, written, delivered, open } = start()
	await give()
	ending.abort(new PlanstreamError('draining', 'The server is stopping.'))
	await give(null)
	await delivered
	expect([written, open()]).toEqual([[1], 0])
})
