import { describe, expect, it } from 'vitest'
import type { ReadStream, Received } from './stream-readers.js'
import { StreamServer } from './stream-server.js'

const STARTED = { event_type: 'plan_started', data: { query: 'Which?', total_steps: 1, research_type: 'comprehensive' } }
const COMPLETED = { event_type: 'plan_completed', data: { result: 'Ω "that"\n\u2028' } }

/** A plan's worth of events: the text holds what is easily changed on its way. */
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

function frameNames(received: readonly Received[]): string[] {
	return received.flatMap(({ item }) => ('frame' in item ? [item.frame] : []))
}

async function readAll(stream: AsyncIterable<Received>): Promise<Received[]> {
	const received: Received[] = []
	for await (const next of stream) received.push(next)
	return received
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

/** The events of a plan: everything that gives them runs this. */
export function eventSuite(name: string, read: ReadStream): void {
	describe(`the events of a plan by ${name}`, () => {
		it('gives every event once, in order and byte for byte, to readers that come before, during and after, and ends by itself', async () => {
			await using server = await StreamServer.start()
			const before = readAll(read(server.url, { plan_id: 'p' }))
			await server.until(() => server.watchers, 1)
			await server.publish('p', [STARTED, ...outputs(0, 50)])
			const during = readAll(read(server.url, { plan_id: 'p' }))
			for (let index = 50; index < 150; index++) await server.publish('p', [output(index)])
			await server.publish('p', [COMPLETED])
			const after = readAll(read(server.url, { plan_id: 'p' }))
			const expected = await server.texts('p')
			expect(expected).toHaveLength(152)
			for (const reader of [before, during, after]) expect(eventTexts(await reader)).toEqual(expected)
			await server.quiet()
		})

		it('resumes behind a cursor, an integer, or at the head', async () => {
			await using server = await StreamServer.start()
			await server.publish('p', [STARTED, ...outputs(0, 20)])
			const first = await readSome(read(server.url, { plan_id: 'p' }), 8)
			await server.publish('p', [COMPLETED])
			const rest = (await server.texts('p')).slice(8)
			const after = first.at(-1)?.id ?? ''
			expect(eventTexts(await readAll(read(server.url, { plan_id: 'p', after })))).toEqual(rest)
			expect(eventTexts(await readAll(read(server.url, { plan_id: 'p', after: 8 })))).toEqual(rest)
			expect(eventTexts(await readAll(read(server.url, { plan_id: 'p', after: 'now' })))).toEqual([])
		})

		it('leaves nothing behind when its readers leave in the middle', async () => {
			await using server = await StreamServer.start()
			await server.publish('p', [STARTED, ...outputs(0, 20)])
			for (let round = 0; round < 5; round++) {
				await Promise.all([1, 5, 20].map((count) => readSome(read(server.url, { plan_id: 'p' }), count)))
			}
			await server.quiet()
		})

		it('goes on after its connection was cut, without a gap or a double', { timeout: 20_000 }, async () => {
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

/** What a stream says of itself: every transport with control frames runs this. */
export function frameSuite(name: string, read: ReadStream): void {
	describe(`a stream by ${name}`, () => {
		it('begins with ready and ends with end, each with the cursor to resume at', async () => {
			await using server = await StreamServer.start()
			const { cursor } = await server.publish('p', [STARTED, output(0), COMPLETED])
			const received = await readAll(read(server.url, { plan_id: 'p' }))
			expect(frameNames(received)).toEqual(['ready', 'end'])
			expect(received.at(0)?.item).toMatchObject({ frame: 'ready', head_seq: 3, from_seq: 1, recovered: true })
			expect(received.at(-1)).toMatchObject({ id: cursor, item: { frame: 'end', reason: 'completed', resume: false, cursor } })
			for (const { id, item } of received) expect(id).toBe(item.cursor)
		})

		it('shows only what its filters let through, and still ends', async () => {
			await using server = await StreamServer.start()
			await server.publish('p', [STARTED, ...outputs(0, 5), COMPLETED])
			const received = await readAll(read(server.url, { plan_id: 'p', event_types: ['plan_started', 'plan_completed'] }))
			const [started, completed] = [(await server.texts('p')).at(0), (await server.texts('p')).at(-1)]
			expect(eventTexts(received)).toEqual([started, completed])
			expect(frameNames(received)).toEqual(['ready', 'end'])
		})

		it('is told that the server stops, and to resume', async () => {
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
