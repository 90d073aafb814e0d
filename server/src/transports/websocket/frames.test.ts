import { once } from 'node:events'
import { isDeepStrictEqual } from 'node:util'
import type { PlanEvent } from '@planstream/shared'
import { eventInput } from '@planstream/shared/schemas'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import { startPlanstream } from '#test/support/plans/test-planstream.js'
import { passTurns, TestSendBuffer, WHOLE } from '#test/support/streams/test-fanout.js'
import { MessageReader } from '#test/support/streams/websocket-messages.js'
import { Fanout } from '../../delivery/fanout.js'
import type { StreamTarget } from '../../delivery/target.js'
import { LOCAL_PRINCIPAL } from '../../hub/principal.js'
import type { ReadOptions } from '../../hub/reader.js'
import { encodeItem } from '../../hub/stream.js'
import { processSchedule } from '../../ops/clock.js'
import { createMessageEncoding, encodeTextFrame, type Framing, Framings, PLAIN, WITH_CONTEXT, WITHOUT_CONTEXT } from './frames.js'

const SIZES = [0, 1, 125, 126, 127, 65_535, 65_536, 100_000]

/** Returns the messages that a WebSocket client receives when these bytes are written to the socket. */
async function received(frames: readonly Buffer[], count: number): Promise<string[]> {
	const server = new WebSocketServer({ port: 0, host: '127.0.0.1' })
	await once(server, 'listening')
	server.on('connection', (_client, { socket }) => socket.write(Buffer.concat(frames)))
	const { port } = server.address() as { port: number }
	const client = new WebSocket(`ws://127.0.0.1:${port}`)
	const texts: string[] = []
	client.on('message', (data: Buffer, isBinary) => {
		texts.push(`${isBinary}${String(data)}`)
		if (texts.length === count) client.close()
	})
	await once(client, 'close')
	server.close()
	return texts
}

describe('textFrame', () => {
	it('encodes texts of any length for a client', async () => {
		const texts = [...SIZES.map((size) => 'x'.repeat(size)), 'Ω😀', ...fc.sample(fc.string({ unit: 'grapheme' }), 100)]
		expect(await received(texts.map(encodeTextFrame), texts.length)).toEqual(texts.map((text) => `false${text}`))
	})
})

interface Got {
	readonly frame?: string
	readonly seq?: number
	readonly from_seq?: number
}

/** A connection with several streams, whose buffer drains when the test says so. */
class TestConnection extends TestSendBuffer {
	readonly reader = new MessageReader()
	readonly writes: Buffer[] = []
	readonly streams: TestStream[] = []
	readonly framings: Framings

	constructor(framing: Framing) {
		super()
		this.framings = new Framings(framing)
	}

	readonly sink = {
		write: (bytes: Buffer): boolean => {
			this.writes.push(bytes)
			this.reader.read(bytes)
			return this.hasRoom
		},
	}

	newest(plan_id: string): TestStream | undefined {
		return this.streams.findLast((stream) => stream.plan_id === plan_id)
	}

	/** Messages of the newest stream of a plan. */
	got(plan_id: string): Got[] {
		const from = this.newest(plan_id)?.from ?? 0
		const texts = this.reader.messages.slice(from).map(({ text }) => text)
		return texts.filter((text) => text.startsWith(plan_id)).map((text) => JSON.parse(text.slice(plan_id.length)) as Got)
	}
}

interface TestStream extends Disposable {
	readonly plan_id: string
	/** The number of messages the connection had received before. */
	readonly from: number
	readonly step_id: string | undefined
	isOver: boolean
}

/** Fan-out of an in-memory hub. */
async function start() {
	const planstream = await startPlanstream()
	const { hub, log } = planstream
	const deliveries = new Fanout(hub, { log, schedule: processSchedule, clock: () => 0 })
	const publish = (plan_id: string, sent: readonly Record<string, unknown>[]) =>
		hub.publish(LOCAL_PRINCIPAL, { plan_id, sent, events: sent.map((event) => eventInput.parse(event)) })
	let index = 0
	const output = (delta: string, step_id = 's') => ({ event_type: 'step_output', step_id, data: { index: index++, delta } })
	/** Replaces an earlier stream of the same plan. */
	const attach = (connection: TestConnection, plan_id: string, request: Partial<ReadOptions> = {}): TestStream => {
		connection.newest(plan_id)?.[Symbol.dispose]()
		const over = (): void => {
			stream.isOver = true
			connection.framings.release(stream)
		}
		const target: StreamTarget = {
			sink: connection.sink,
			get encoding() {
				return createMessageEncoding(plan_id, connection.framings.choose(stream), (item) => `${plan_id}${encodeItem(item)}`)
			},
			turn: () => connection.turn(),
			ended: over,
			failed: over,
		}
		const delivery = deliveries.deliver(LOCAL_PRINCIPAL, plan_id, { ...WHOLE, ...request }, target)
		const stop = (): void => {
			delivery[Symbol.dispose]()
			over()
		}
		const from = connection.reader.messages.length
		const stream: TestStream = { plan_id, from, step_id: request.step_id, isOver: false, [Symbol.dispose]: stop }
		connection.streams.push(stream)
		return stream
	}
	return { hub, log, publish, output, attach, [Symbol.asyncDispose]: () => planstream[Symbol.asyncDispose]() }
}

/** Repeats words, so that messages refer to earlier ones. */
const WORDS = 'the step has read a document of Ωmega and found what it says on page seven about 長い物語 there'.split(' ')

const delta = fc.oneof(
	{ weight: 2, arbitrary: fc.string({ unit: 'grapheme', maxLength: 300 }) },
	{ weight: 6, arbitrary: fc.array(fc.constantFrom(...WORDS), { maxLength: 30 }).map((words) => words.join(' ')) },
	{ weight: 1, arbitrary: fc.integer({ min: 1000, max: 7000 }).map((length) => 'Ωmega '.repeat(length / 6)) },
)
const of = fc.nat(4)
const plan_id = fc.constantFrom('p', 'p', 'q')
const turnsAfter = fc.constantFrom(0, 1, 4, 4)
const action = fc.oneof(
	{
		weight: 8,
		arbitrary: fc.record({
			do: fc.constant('publish' as const),
			plan_id,
			deltas: fc.array(delta, { minLength: 1, maxLength: 6 }),
			turnsAfter,
		}),
	},
	{
		weight: 4,
		arbitrary: fc.record({
			do: fc.constant('attach' as const),
			of,
			plan_id,
			after: fc.constantFrom<ReadOptions['after'][]>('start', 'now', { seq: 3 }),
			filter: fc.constantFrom({}, {}, {}, { step_id: 'a' }),
			turnsAfter,
		}),
	},
	{ weight: 2, arbitrary: fc.record({ do: fc.constant('room' as const), of, has: fc.boolean(), turnsAfter }) },
	{ weight: 1, arbitrary: fc.record({ do: fc.constant('leave' as const), of, turnsAfter }) },
	{ weight: 1, arbitrary: fc.record({ do: fc.constant('answer' as const), of, text: delta, turnsAfter }) },
)

/** Finishes both plans and checks that every stream that was not stopped is complete. */
async function finish(plan: Awaited<ReturnType<typeof start>>, connections: readonly TestConnection[]): Promise<void> {
	await passTurns()
	for (const plan_id of ['p', 'q']) await plan.publish(plan_id, [{ event_type: 'plan_completed', data: {} }])
	for (const connection of connections) connection.setRoom(true)
	const isOver = () => connections.every(({ streams }) => streams.every(({ isOver }) => isOver))
	await expect.poll(isOver, { interval: 1 }).toBe(true)
	for (const plan_id of ['p', 'q']) {
		const { events } = await plan.log.read({ tenant: LOCAL_PRINCIPAL.tenant, plan_id }, 'start', 100_000)
		const all = events.map(({ text }) => JSON.parse(text) as PlanEvent)
		for (const connection of connections) {
			const got = connection.got(plan_id)
			if (got.at(-1)?.frame !== 'end') continue
			const step_id = connection.newest(plan_id)?.step_id
			const from = got.findLast(({ frame }) => frame === 'ready')?.from_seq ?? 0
			const due = all.filter((event) => event.seq >= from && (step_id === undefined || event.step_id === step_id))
			expect(
				isDeepStrictEqual(
					got.filter(({ seq }) => seq !== undefined),
					due,
				),
			).toBe(true)
		}
	}
}

describe('compressed framing', () => {
	it('shares one compressed frame among readers with the same 4 KiB of history, and with newcomers', async () => {
		await using plan = await start()
		const publish = (index: number) =>
			plan.publish('p', [plan.output(`Step ${index} has read document ${index * 7} of Ω. `.repeat(5))])
		const first = new TestConnection(WITH_CONTEXT)
		const second = new TestConnection(WITH_CONTEXT)
		const late = new TestConnection(WITH_CONTEXT)
		await publish(0)
		plan.attach(first, 'p')
		plan.attach(second, 'p')
		for (let index = 1; index <= 20; index++) {
			if (index === 8) plan.attach(late, 'p', { after: 'now' })
			await passTurns()
			await publish(index)
		}
		await passTurns()
		expect(second.writes.at(3)).toBe(first.writes.at(3))
		expect(late.writes.at(2)?.equals(first.writes.at(10) ?? Buffer.of())).toBe(false)
		expect(late.writes.at(-1)).toBe(first.writes.at(-1))
		expect(first.writes.at(-1)?.length).toBeLessThan(100)
		const compressed = ({ reader }: TestConnection) => reader.messages.filter(({ isCompressed }) => isCompressed).length
		const seqs = (connection: TestConnection) => connection.got('p').flatMap(({ seq }) => seq ?? [])
		const all = Array.from({ length: 21 }, (_, index) => index + 1)
		expect([first, second, late].map(compressed)).toEqual([20, 20, 13])
		expect([first, second, late].map(seqs)).toEqual([all, all, all.slice(8)])
	})

	it('sends control frames outside of the compression context', () => {
		const context = createMessageEncoding('wire', WITH_CONTEXT, encodeItem).context?.()
		const item = { kind: 'frame', frame: { frame: 'position', plan_id: 'p', cursor: '1' } } as const
		expect(context?.encode(item)).toEqual(encodeTextFrame(encodeItem(item)))
		expect(context?.isNew()).toBe(true)
	})

	it('compresses one stream of a connection at a time when it keeps a context', () => {
		const [first, second] = [{}, {}]
		const framings = new Framings(WITH_CONTEXT)
		expect([framings.choose(first), framings.choose(second), framings.choose(first)]).toEqual([WITH_CONTEXT, PLAIN, WITH_CONTEXT])
		framings.release(second)
		expect(framings.choose(second)).toBe(PLAIN)
		framings.release(first)
		expect([framings.choose(second), framings.choose(first)]).toEqual([WITH_CONTEXT, PLAIN])
		const without = new Framings(WITHOUT_CONTEXT)
		expect([without.choose(first), without.choose(second)]).toEqual([WITHOUT_CONTEXT, WITHOUT_CONTEXT])
	})

	it('delivers every message unchanged however streams share connections, stall and leave', async () => {
		await fc.assert(
			fc.asyncProperty(fc.array(action, { minLength: 20, maxLength: 60 }), async (actions) => {
				await using plan = await start()
				const framings = [WITH_CONTEXT, WITH_CONTEXT, WITH_CONTEXT, WITHOUT_CONTEXT, PLAIN]
				const connections = framings.map((framing) => new TestConnection(framing))
				const pick = (of: number) => connections[of] as TestConnection
				for (const each of actions) {
					if (each.do === 'publish')
						await plan.publish(
							each.plan_id,
							each.deltas.map((delta, at) => plan.output(delta, at % 2 === 0 ? 'a' : 'b')),
						)
					else if (each.do === 'attach') plan.attach(pick(each.of), each.plan_id, { after: each.after, ...each.filter })
					else if (each.do === 'room') pick(each.of).setRoom(each.has)
					else if (each.do === 'answer') pick(each.of).sink.write(encodeTextFrame(`answer ${each.text}`))
					else pick(each.of).streams.at(-1)?.[Symbol.dispose]()
					await passTurns(each.turnsAfter)
				}
				await finish(plan, connections)
			}),
			{ numRuns: 25 },
		)
	})
})
