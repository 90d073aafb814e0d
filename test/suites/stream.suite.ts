import { describe, expect, it } from 'vitest'
import type { Reader } from '../../server/src/testing/readers.js'
import { STREAM_CASES } from '../../server/src/testing/stream-cases.js'
import { Target } from '../../server/src/testing/target.js'
import { StreamServer } from '../support/servers/stream-server.js'
import type { ReadStream, Received } from '../support/streams/stream-readers.js'

const STARTED = { event_type: 'plan_started', data: { query: 'Which?', total_steps: 1, research_type: 'comprehensive' } }
const COMPLETED = { event_type: 'plan_completed', data: { result: 'Ω "that"\n\u2028' } }

/** A typical plan, with text that is easily damaged in transit. */
function output(index: number): Record<string, unknown> {
	const data = { channel: 'text', index, delta: `${index}: "ä€😀"\n\r\\ data: event: id:` }
	return { event_type: 'step_output', step_id: 'step_1', data }
}

function outputs(from: number, to: number): Record<string, unknown>[] {
	return Array.from({ length: to - from }, (_, index) => output(from + index))
}

function isEvent({ item }: Received): boolean {
	return 'event_type' in item
}

function eventTexts(received: readonly Received[]): string[] {
	return received.filter(isEvent).map(({ text }) => text)
}

/** Reads the first `count` events and leaves. */
async function readSome(stream: AsyncIterable<Received>, count: number): Promise<Received[]> {
	const received: Received[] = []
	for await (const next of stream) {
		received.push(next)
		if (received.filter(isEvent).length === count) break
	}
	return received
}

/** Runs the conformance cases against our server and checks that they leave nothing behind. */
function commonCases(reader: Reader): void {
	for (const { name, run } of STREAM_CASES.filter(({ frames }) => frames === reader.frames)) {
		it(name, async () => {
			await using server = await StreamServer.start()
			await run(new Target(server.url), reader)
			await server.quiet()
		})
	}
}

/** The events of a plan; every source of them runs this suite. */
export function eventSuite(name: string, read: ReadStream): void {
	describe(`the events of a plan by ${name}`, () => {
		commonCases({ name, read, frames: false })

		it('leave nothing behind when readers leave early', async () => {
			await using server = await StreamServer.start()
			await server.publish('p', [STARTED, ...outputs(0, 20)])
			for (let round = 0; round < 5; round++) {
				await Promise.all([1, 5, 20].map((count) => readSome(read(server.url, { plan_id: 'p' }), count)))
			}
			await server.quiet()
		})

		it('continue without a gap or a duplicate after a cut', { timeout: 20_000 }, async () => {
			await using server = await StreamServer.start()
			await server.publish('p', [STARTED, ...outputs(0, 20)])
			const received: Received[] = []
			for await (const next of read(server.url, { plan_id: 'p' })) {
				received.push(next)
				if (eventTexts(received).length === 10) for (const socket of server.sockets) socket.resetAndDestroy()
				if (isEvent(next) && eventTexts(received).length === 21) await server.publish('p', [COMPLETED])
			}
			expect(eventTexts(received)).toEqual(await server.texts('p'))
			await server.quiet()
		})
	})
}

/** The control frames of a stream; every transport that has them runs this suite. */
export function frameSuite(name: string, read: ReadStream): void {
	describe(`a stream by ${name}`, () => {
		commonCases({ name, read, frames: true })

		it('ends with reason "draining" and may be resumed when the server stops', async () => {
			await using server = await StreamServer.start()
			await server.publish('p', [STARTED, output(0)])
			for await (const { item } of read(server.url, { plan_id: 'p' })) {
				if ('event_type' in item && item.seq === 2) server.drain()
				if ('frame' in item && item.frame === 'end') {
					expect(item).toMatchObject({ reason: 'draining', resume: true, final_seq: 2 })
					break
				}
			}
			await server.quiet()
		})
	})
}
