import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { CONNECTION_LIMITS } from '../../server/src/connections/connections.js'
import { StreamServer, trackMaximum } from '../support/servers/stream-server.js'
import { STALLED_READERS } from '../support/streams/stalled-readers.js'
import { READERS } from '../support/streams/stream-readers.js'

const EVENT_BYTES = 60_000
const ITEM_OVERHEAD = 1000
const EVENTS_AT_ONCE = 8

/**
 * Limits what one stalled reader may cost the other readers and the server.
 *
 * @param bytes - published while it reads nothing
 */
export function stalledSuite(bytes: number): void {
	describe.each(STALLED_READERS)(`beside a reader by %s that takes nothing of ${bytes / 1e6} MB`, (_name, stall) => {
		it('gives every other reader every event, and buffers no more than the send buffer', { timeout: 120_000 }, async () => {
			await using server = await StreamServer.start()
			using stalled = await stall(server.url, 'p')
			await server.until(() => server.hub.report().subscriptions, 1)
			const [socket] = server.sockets
			const others = READERS.map(([, read]) => digestOf(read(server.url, { plan_id: 'p' })))
			await server.until(() => server.hub.report().subscriptions, 1 + READERS.length)
			using queued = trackMaximum(() => socket?.writableLength ?? 0)
			const count = Math.ceil(bytes / EVENT_BYTES)
			for (let index = 0; index < count; index += EVENTS_AT_ONCE) await server.publish('p', outputs(index, EVENTS_AT_ONCE))
			await server.publish('p', [{ event_type: 'plan_completed', data: {} }])

			const expected = digest(await server.texts('p'))
			for (const other of others) expect(await other).toBe(expected)
			expect(socket?.bytesWritten).toBeLessThan(bytes)
			expect(socket?.writableLength).toBeGreaterThan(0)
			expect(queued.most).toBeLessThanOrEqual(CONNECTION_LIMITS.sendBufferBytes + EVENT_BYTES + ITEM_OVERHEAD)
			stalled[Symbol.dispose]()
			await server.quiet()
		})
	})
}

function outputs(from: number, count: number): Record<string, unknown>[] {
	const delta = 'x'.repeat(EVENT_BYTES)
	return Array.from({ length: count }, (_, index) => ({
		event_type: 'step_output',
		step_id: 'step_1',
		data: { channel: 'text', index: from + index, delta },
	}))
}

/** Hashes a whole stream of events, so that none needs to be kept. */
async function digestOf(stream: AsyncIterable<{ readonly item: object; readonly text: string }>): Promise<string> {
	const hash = createHash('sha1')
	for await (const { item, text } of stream) if ('event_type' in item) hash.update(text).update('\n')
	return hash.digest('hex')
}

function digest(texts: readonly string[]): string {
	return texts.reduce((hash, text) => hash.update(text).update('\n'), createHash('sha1')).digest('hex')
}
