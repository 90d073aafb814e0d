import { expect, test } from 'vitest'
import { CONNECTION_LIMITS } from '../../server/src/connections/limits.js'
import { bareReaders } from '../../server/src/testing/readers.js'
import { Target } from '../../server/src/testing/target.js'
import { MeasuredServer } from '../support/measured-server.js'

const EVENTS = 512
const EVENT_BYTES = 60_000
const PLAN_BYTES = EVENTS * EVENT_BYTES
/** Events of a request, whose body is limited. */
const BATCH = 16
/** What may wait for a reader, several times: buffers that are garbage are given back a little later. */
const MOST_BYTES = 8 * CONNECTION_LIMITS.sendBufferBytes

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
subscribe('net.server.socket', ({ socket }) => socket.once('close', () => { sent += socket.bytesWritten }))
setInterval(() => {
	if (buffers() <= held) return
	globalThis.gc()
	held = Math.max(held, buffers())
}, 5)
const server = await startServer({ port: 0, store: { kind: 'memory' }, compression: true })
console.log(server.url)
for await (const order of createInterface({ input: process.stdin })) {
	if (order === 'begin') {
		globalThis.gc()
		base += buffers()
		held = sent = 0
	}
	console.log(JSON.stringify({ held, sent }))
}
process.exit()
`

interface Report {
	readonly held: number
	readonly sent: number
}

/** Events that pack to almost nothing, so that no connection is ever full of them. */
function outputs(from: number): object[] {
	return Array.from({ length: BATCH }, (_, index) => {
		const delta = `${from + index} `.padEnd(EVENT_BYTES, 'again ')
		return { event_type: 'step_output', step_id: 's', data: { channel: 'text', index: from + index, delta } }
	})
}

test(`${PLAN_BYTES / 1e6} MB that are compressed for a fast reader do not wait in memory, on any transport`, async () => {
	await using server = await MeasuredServer.start(SERVER)
	const target = new Target(server.url)
	for (let from = 0; from < EVENTS; from += BATCH) await target.publish('p', outputs(from))
	await target.publish('p', [{ event_type: 'plan_completed', data: {} }])
	for (const { name, read } of bareReaders(undefined).filter(({ frames }) => frames)) {
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
