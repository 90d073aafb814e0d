import { randomBytes } from 'node:crypto'
import { expect } from 'vitest'
import { startFaultProxy } from '../support/servers/fault-proxy.js'
import { StreamServer } from '../support/servers/stream-server.js'

/** The extension that a client negotiates to receive compressed messages. */
const AGREED = 'permessage-deflate'
const PLAN = 'p'
const STARTED = { event_type: 'plan_started', data: { query: 'Which?', total_steps: 1 } }
const COMPLETED = { event_type: 'plan_completed', data: { result: null } }
const WORDS = 'the step has read a document of Ωmega and found what it says on page seven about 長い物語 there'.split(' ')

/** A client that follows a plan over a WebSocket. */
export interface CompressedReader {
	/** The extensions it has negotiated. */
	readonly extensions: () => Promise<string>
	/** The number of messages it has read. */
	readonly count: () => Promise<number>
	/** The messages it has read. */
	readonly messages: () => Promise<readonly string[]>
}

/** Opens a client. */
export type OpenCompressed = (url: string, plan_id: string, after: 'start' | 'now') => Promise<CompressedReader>

/**
 * Lets two clients follow a plan, the second from its middle, while the first stalls for a while: both read each event as it is
 * stored, and most of them in few bytes.
 *
 * @param eventOf - the text of the event in a message; null in any other message
 */
export async function compressedSuite(open: OpenCompressed, eventOf: (message: string) => string | null): Promise<void> {
	await using server = await StreamServer.start({ limits: { compression: true, sendBufferBytes: 64 * 1024 } })
	await using first = await startFaultProxy(server.url)
	await using second = await startFaultProxy(server.url)
	const story = new Story(server)
	await server.publish(PLAN, [STARTED])
	const early = await open(first.url, PLAN, 'start')
	await server.until(() => server.watchers, 1)
	await story.go(60)
	const late = await open(second.url, PLAN, 'now')
	await server.until(() => server.watchers, 2)
	await story.go(60)
	for (const reader of [early, late]) await expect.poll(reader.count).toBeGreaterThanOrEqual(60)
	const written = [...server.sockets].reduce((sum, { bytesWritten }) => sum + bytesWritten, 0)
	expect(written).toBeLessThan((await textBytes(server)) / 2)
	first.hold()
	for (let some = 0; some < 20; some++) await story.flood()
	await server.until(() => server.deliveries.report().fell_behind > 0, true)
	first.goOn()
	await server.until(() => server.watchers, 2)
	await story.go(60)
	await server.publish(PLAN, [COMPLETED])
	const texts = await server.texts(PLAN)
	for (const [reader, due] of [[early, texts] as const, [late, texts.slice(61)] as const]) {
		const events = async () => (await reader.messages()).flatMap((message) => eventOf(message) ?? [])
		await expect.poll(async () => (await events()).length, { timeout: 10_000 }).toBe(due.length)
		expect(await events()).toEqual(due)
		expect(await reader.extensions()).toContain(AGREED)
	}
}

async function textBytes(server: StreamServer): Promise<number> {
	const texts = await server.texts(PLAN)
	return texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0)
}

/** Creates events whose texts resemble each other like those of real plans. */
class Story {
	readonly #server: StreamServer
	#index = 0

	constructor(server: StreamServer) {
		this.#server = server
	}

	async go(events: number): Promise<void> {
		for (let event = 0; event < events; event++) {
			const words = Array.from({ length: 8 }, (_, at) => WORDS[(event * event + at * (event % 5)) % WORDS.length])
			await this.#tell([words.join(' ')])
		}
	}

	/** Exceeds what a connection buffers when its client stalls, compressed or not. */
	async flood(): Promise<void> {
		await this.#tell(Array.from({ length: 16 }, () => randomBytes(30_000).toString('base64')))
	}

	async #tell(deltas: readonly string[]): Promise<void> {
		const data = deltas.map((delta) => ({ channel: 'text', index: this.#index++, delta }))
		await this.#server.publish(
			PLAN,
			data.map((data) => ({ event_type: 'step_output', step_id: 's', data })),
		)
	}
}
