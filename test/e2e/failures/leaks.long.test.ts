import { expect, it } from 'vitest'
import { Target } from '../../../server/src/testing/target.js'
import { MeasuredServer } from '../../support/servers/measured-server.js'
import { EVENT_READERS } from '../../support/streams/stream-readers.js'

const SCALE = Number(process.env.PLANSTREAM_TEST_SCALE ?? 1)
const ROUNDS = 6
/** Readers of each transport that come and go in a round. */
const READERS = Math.ceil(40 * SCALE)
const AT_ONCE = 20
/** Bytes a reader by which the heap may still grow while the runtime warms up; an open subscription has several KiB. */
const KEPT_BYTES = 1000

const SERVER = `
import { startServer } from '@planstream/server'
const server = await startServer({ port: 0, store: { kind: 'memory' } })
console.log(server.url)
process.stdin.on('data', () => {
	for (let round = 0; round < 4; round++) globalThis.gc()
	console.log(JSON.stringify({ heap: process.memoryUsage().heapUsed, ...server.report() }))
})
process.stdin.on('end', () => process.exit())
`

interface Report {
	readonly heap: number
	readonly connections: number
	readonly subscriptions: number
	readonly watchers: number
}

/** Begins to read a plan and leaves after the first event. */
async function comeAndGo(url: string, read: (typeof EVENT_READERS)[number][1]): Promise<void> {
	for await (const { item } of read(url, { plan_id: 'p' })) if ('event_type' in item) return
}

it(`${ROUNDS * READERS * EVENT_READERS.length} readers leave nothing in the heap when they have left`, async () => {
	await using server = await MeasuredServer.start(SERVER)
	await new Target(server.url).publish('p', [{ event_type: 'plan_started', data: { query: 'q', total_steps: 1 } }])
	const report = () => server.ask<Report>('report')
	const heaps: number[] = []
	for (let round = 0; round < ROUNDS; round++) {
		for (const [, read] of EVENT_READERS) {
			for (let gone = 0; gone < READERS; gone += AT_ONCE)
				await Promise.all(Array.from({ length: Math.min(AT_ONCE, READERS - gone) }, () => comeAndGo(server.url, read)))
		}
		await expect.poll(report, { timeout: 30_000 }).toMatchObject({ connections: 0, subscriptions: 0, watchers: 0 })
		heaps.push((await report()).heap)
	}
	const [, second = 0, ...later] = heaps
	const kept = (Math.min(...later.slice(-2)) - second) / (later.length * READERS * EVENT_READERS.length)
	expect(kept, `the heap after each round was ${heaps.join(', ')}`).toBeLessThan(KEPT_BYTES)
})
