import { expect, it } from 'vitest'
import { Target } from '../../../server/src/testing/target.js'
import { MeasuredServer } from '../../support/servers/measured-server.js'
import { READERS } from '../../support/streams/stream-readers.js'

const SCALE = Number(process.env.PLANSTREAM_TEST_SCALE ?? 1)
/** Readers that have come before the first of those who are measured, so that nothing is made for the first time. */
const FIRST = 300
const MEASURED = Math.ceil(300 * SCALE)
const AT_ONCE = 50
/** Bytes of the heap for one reader at most; Node and `ws` alone need 2.4 KiB for a WebSocket, Node 4.4 KiB for a response. */
const MOST_BYTES = { WebSocket: 7 * 1024, SSE: 10 * 1024 }

const SERVER = `
import { startServer } from '@planstream/server'
const server = await startServer({ port: 0, store: { kind: 'memory' } })
console.log(server.url)
process.stdin.on('data', () => {
	for (let round = 0; round < 4; round++) globalThis.gc()
	console.log(JSON.stringify(process.memoryUsage().heapUsed))
})
process.stdin.on('end', () => process.exit())
`

it.each(READERS)('%s: a reader that waits for more holds a few KiB of the heap', async (name, read) => {
	await using server = await MeasuredServer.start(SERVER)
	await new Target(server.url).publish('p', [{ event_type: 'plan_started', data: { query: 'q', total_steps: 1 } }])
	const streams: ReturnType<typeof read>[] = []
	const come = async (count: number): Promise<void> => {
		for (let left = count; left > 0; left -= AT_ONCE) {
			const some = Array.from({ length: Math.min(AT_ONCE, left) }, () => read(server.url, { plan_id: 'p' }))
			streams.push(...some)
			await Promise.all(some.map(takeFirstEvent))
		}
	}
	await come(FIRST)
	const before = await server.ask<number>('heap')
	await come(MEASURED)
	const each = ((await server.ask<number>('heap')) - before) / MEASURED
	await Promise.all(streams.map((stream) => stream.return()))
	expect(each).toBeLessThan(MOST_BYTES[name.endsWith('SSE') ? 'SSE' : 'WebSocket'])
})

async function takeFirstEvent(stream: ReturnType<(typeof READERS)[number][1]>): Promise<void> {
	for (;;) {
		const { done, value } = await stream.next()
		if (done === true) expect.fail('the stream has ended')
		if ('event_type' in value.item) return
	}
}
