import { expect, test } from 'vitest'
import { CONNECTION_LIMITS } from '../../../server/src/connections/connections.js'
import { createBareReaders } from '../../../server/src/testing/readers.js'
import { Target } from '../../../server/src/testing/target.js'
import { incompressibleText } from '../../support/incompressible-text.js'
import { MeasuredServer } from '../../support/servers/measured-server.js'
import { STALLED_READERS } from '../../support/streams/stalled-readers.js'

const EVENTS = 512
const EVENT_BYTES = 60_000
const PLAN_BYTES = EVENTS * EVENT_BYTES
/** Events of a request, whose body is limited. */
const BATCH = 16
/** What may wait for a reader, with what is on its way to it and into the server. */
const MOST_BYTES = 4 * CONNECTION_LIMITS.sendBufferBytes

/**
 * A server that compresses and watches itself. Since it was last told to begin, `held` is the most by which its buffers have grown,
 * garbage left out, and `sent` what went out on connections that are closed.
 */
const SERVER = `
import { subscribe } from 'node:diagnostics_channel'
import { createInterface } from 'node:readline'
import { startServer } from '@planstream/server'
let base = 0
let held = 0
let sent = 0
const buffers = () => process.memoryUsage().arrayBuffers - base
const collected = () => {
	// What one collection finds is given back by the next.
	for (let round = 0; round < 2; round++) globalThis.gc()
	return buffers()
}
subscribe('net.server.socket', ({ socket }) => socket.once('close', () => { sent += socket.bytesWritten }))
setInterval(() => {
	if (buffers() > held + 1_000_000) held = Math.max(held, collected())
}, 5)
const server = await startServer({ port: 0, store: { kind: 'memory' }, compression: true })
console.log(server.url)
for await (const order of createInterface({ input: process.stdin })) {
	if (order === 'begin') {
		base += collected()
		held = sent = 0
	}
	held = Math.max(held, collected())
	console.log(JSON.stringify({ held, sent }))
}
process.exit()
`

interface Report {
	readonly held: number
	readonly sent: number
}

/** Publishes the whole plan but its end. */
async function publish(url: string, deltaOf: (index: number) => string): Promise<void> {
	const target = new Target(url)
	for (let from = 0; from < EVENTS; from += BATCH) {
		const events = Array.from({ length: BATCH }, (_, offset) => {
			const index = from + offset
			return { event_type: 'step_output', step_id: 's', data: { channel: 'text', index, delta: deltaOf(index) } }
		})
		await target.publish('p', events)
	}
}

/** Packs to almost nothing, so that no connection is ever full of it. */
function easy(index: number): string {
	return `${index} `.padEnd(EVENT_BYTES, 'again ')
}

test(`${PLAN_BYTES / 1e6} MB compressed for a fast reader do not wait in memory, on any transport`, async () => {
	await using server = await MeasuredServer.start(SERVER)
	await publish(server.url, easy)
	await new Target(server.url).publish('p', [{ event_type: 'plan_completed', data: {} }])
	for (const { name, read } of createBareReaders(undefined).filter(({ frames }) => frames)) {
		await server.ask('begin')
		const seqs: unknown[] = []
		for await (const { item } of read(server.url, { plan_id: 'p' })) if ('seq' in item) seqs.push(item.seq)
		expect(seqs, name).toEqual(Array.from({ length: EVENTS + 1 }, (_, index) => index + 1))
		await expect.poll(async () => (await server.ask<Report>('report')).sent, { timeout: 10_000 }).toBeGreaterThan(EVENTS)
		const { held, sent } = await server.ask<Report>('report')
		expect(sent, name).toBeLessThan(PLAN_BYTES / 20)
		expect(held, name).toBeLessThan(MOST_BYTES)
	}
})

test.each(STALLED_READERS)(
	`over %s at most the send buffer waits when a reader takes nothing of ${PLAN_BYTES / 1e6} MB`,
	async (_name, stall) => {
		await using server = await MeasuredServer.start(SERVER)
		{
			using _stalled = await stall(server.url, 'p')
			await server.ask('begin')
			await publish(server.url, (index) => incompressibleText(index, EVENT_BYTES))
			expect((await server.ask<Report>('report')).held).toBeLessThan(MOST_BYTES)
		}
		const sent = async () => (await server.ask<Report>('report')).sent
		await expect.poll(sent, { timeout: 10_000 }).toBeGreaterThan(EVENT_BYTES)
		expect(await sent()).toBeLessThan(PLAN_BYTES / 2)
	},
)
