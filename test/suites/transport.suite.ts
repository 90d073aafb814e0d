import { setImmediate } from 'node:timers/promises'
import { createPlanstreamClient, type EventInput, type Planstream } from '@planstream/client'
import { PlanstreamError } from '@planstream/shared'
import { describe, expect, it } from 'vitest'
import { type Clock, systemClock } from '../../client/src/timing.js'
import { ConnectionLost, type Delivery, type StreamRequest, type Transport } from '../../client/src/transports/transport.js'
import type { RunningServer } from '../../server/src/server.js'
import { ManualClock } from '../support/manual-clock.js'
import { type FaultProxy, startFaultProxy } from '../support/servers/fault-proxy.js'
import { startTestServer } from '../support/servers/test-server.js'

/** The options and faults of a transport under test. */
export interface TransportFixture {
	readonly url: string
	readonly clock: Clock
	readonly heartbeatMs: number
}

const ROUTE = { name: 'plans.events', path: '/api/v1/streaming/plans/{plan_id}/events', item: 'any' } as const
const HEARTBEAT_MS = 1000
const PLAN = 'plan_1'

interface SetUp extends AsyncDisposable {
	readonly server: RunningServer
	readonly proxy: FaultProxy
	/** Publishes past the proxy. */
	readonly planstream: Planstream
	readonly transport: Transport
}

const progress = (step: number): EventInput => ({
	event_type: 'step_progress',
	step_id: `step_${step}`,
	data: { progress: 0.5, message: `event ${step}` },
})
const OUTPUT: EventInput = { event_type: 'step_output', step_id: 'step_1', data: { delta: 'x' } }
const COMPLETED: EventInput = { event_type: 'plan_completed', data: {} }

/**
 * The behaviour of the transport port against a real server; every transport of the client runs this suite.
 *
 * @param name - shown in the test names
 * @param makeTransport - called once per test
 */
export function transportSuite(name: string, makeTransport: (fixture: TransportFixture) => Transport): void {
	const setUp = async (clock: Clock = systemClock): Promise<SetUp> => {
		const server = await startTestServer()
		const proxy = await startFaultProxy(server.url)
		const planstream = createPlanstreamClient({ url: server.url })
		const transport = makeTransport({ url: proxy.url, clock, heartbeatMs: HEARTBEAT_MS })
		const dispose = async () => {
			await planstream.close()
			await proxy[Symbol.asyncDispose]()
			await server[Symbol.asyncDispose]()
		}
		return { server, proxy, planstream, transport, [Symbol.asyncDispose]: dispose }
	}
	const publish = (planstream: Planstream, ...events: EventInput[]) => planstream.events.publish({ plan_id: PLAN, events })

	describe(`the transport ${name}`, () => {
		it('delivers ready, every event in order with its cursor, and the end, and then ends', async () => {
			await using test = await setUp()
			await publish(test.planstream, progress(1), progress(2), COMPLETED)
			const deliveries = await readAll(test.transport, request())
			expect(kinds(deliveries)).toEqual(['ready', 1, 2, 3, 'end'])
			for (const { cursor, item } of deliveries) expect(cursor).toBe((item as { cursor: string }).cursor)
			await released(test.server)
		})

		it('delivers events published while it is open', async () => {
			await using test = await setUp()
			const items = await open(test.transport, request())
			expect(kinds([await next(items)])).toEqual(['ready'])
			await publish(test.planstream, progress(1))
			for (const kind of ['ready', 1]) expect(kinds([await next(items)])).toEqual([kind])
			await publish(test.planstream, COMPLETED)
			expect(kinds([await next(items), await next(items)])).toEqual([2, 'end'])
			expect((await items.next()).done).toBe(true)
		})

		it('resumes after the last cursor whatever the input says', async () => {
			await using test = await setUp()
			await publish(test.planstream, progress(1), progress(2), progress(3), COMPLETED)
			const [, , second] = await readAll(test.transport, request())
			const resumed = await readAll(test.transport, { ...request({ after: 'start' }), lastCursor: second?.cursor ?? null })
			expect(kinds(resumed)).toEqual(['ready', 3, 4, 'end'])
		})

		it('delivers nothing after the end', async () => {
			await using test = await setUp()
			const { cursor } = await publish(test.planstream, progress(1), COMPLETED)
			const rest = await readAll(test.transport, { ...request(), lastCursor: cursor })
			expect(kinds(rest).filter((kind) => typeof kind === 'number')).toEqual([])
		})

		it('forwards filters, and reports the position they lead to', async () => {
			await using test = await setUp()
			await publish(test.planstream, progress(1), progress(2), OUTPUT, COMPLETED)
			const filtered = await readAll(test.transport, request({ step_id: 'step_1', event_types: ['step_progress', 'error'] }))
			expect(kinds(filtered).filter((kind) => typeof kind === 'number')).toEqual([1])
		})

		it.each([
			['a plan id that is none', { plan_id: 'no plan' }],
			['a position that is none', { plan_id: PLAN, after: '?' }],
			['a snapshot where there is none', { plan_id: PLAN, after: '3', snapshot: true }],
		])('throws the error that the server reports at %s', async (_, input) => {
			await using test = await setUp()
			const refused = await failure(readAll(test.transport, { ...request(), input }))
			expect(refused).toBeInstanceOf(PlanstreamError)
			expect(refused).toMatchObject({ code: 'bad_request', facts: { path: expect.stringMatching(/plan_id|after|snapshot/) } })
			await released(test.server)
		})

		it('reports a lost connection when the server is unreachable', async () => {
			await using test = await setUp()
			test.proxy.away = true
			expect(await failure(readAll(test.transport, request()))).toBeInstanceOf(ConnectionLost)
		})

		it('delivers everything before a cut, and then throws it', async () => {
			await using test = await setUp()
			await publish(test.planstream, progress(1))
			const items = await open(test.transport, request())
			expect(kinds([await next(items), await next(items)])).toEqual(['ready', 1])
			test.proxy.cut()
			expect(await failure(items.next())).toBeInstanceOf(ConnectionLost)
		})

		it('reports a lost connection after 2.5 heartbeats of silence', async () => {
			const clock = new ManualClock()
			await using test = await setUp(clock)
			const items = await open(test.transport, request())
			await next(items)
			test.proxy.stall()
			const pending = failure(items.next())
			await setImmediate() // the reader is waiting now
			clock.advance(HEARTBEAT_MS * 2.5)
			expect(await pending).toBeInstanceOf(ConnectionLost)
			await released(test.server)
			expect(clock.pending).toBe(0)
		})

		it('ends without an error when it is aborted, and releases the connection and its timers', async () => {
			const clock = new ManualClock()
			await using test = await setUp(clock)
			const abort = new AbortController()
			const items = await open(test.transport, request(), abort.signal)
			await next(items)
			const pending = items.next()
			abort.abort()
			expect((await pending).done).toBe(true)
			await released(test.server)
			expect(clock.pending).toBe(0)
		})

		it('rejects an attempt that is aborted, and releases the connection', async () => {
			await using test = await setUp()
			test.proxy.stall()
			const abort = new AbortController()
			const opening = failure(test.transport.open(request(), abort.signal))
			abort.abort()
			expect(await opening).toBeInstanceOf(Error)
			await released(test.server)
		})

		it('runs many streams at once, each independent of the others', async () => {
			await using test = await setUp()
			await publish(test.planstream, progress(1), progress(2), COMPLETED)
			const all = await Promise.all(Array.from({ length: 20 }, () => readAll(test.transport, request())))
			for (const deliveries of all) expect(kinds(deliveries)).toEqual(['ready', 1, 2, 3, 'end'])
			await released(test.server)
		})
	})
}

function request(input: Partial<StreamRequest['input']> = {}): StreamRequest {
	return { route: ROUTE, input: { plan_id: PLAN, ...input }, lastCursor: null }
}

async function open(
	transport: Transport,
	what: StreamRequest,
	signal = new AbortController().signal,
): Promise<AsyncIterator<Delivery>> {
	const stream = await transport.open(what, signal)
	if (stream === 'finished') throw new Error('The stream was expected to be open.')
	return stream[Symbol.asyncIterator]()
}

async function next(items: AsyncIterator<Delivery>): Promise<Delivery> {
	const { value, done } = await items.next()
	if (done === true) throw new Error('The stream ended, but another item was expected.')
	return value
}

/** Reads every item until the stream ends by itself. */
async function readAll(transport: Transport, what: StreamRequest): Promise<Delivery[]> {
	const stream = await transport.open(what, new AbortController().signal)
	const deliveries: Delivery[] = []
	if (stream === 'finished') return deliveries
	for await (const delivery of stream) deliveries.push(delivery)
	return deliveries
}

/** Names frames by their type and events by their sequence number. */
function kinds(deliveries: readonly Delivery[]): (string | number)[] {
	return deliveries.map(({ item }) => {
		const { frame, seq } = item as { readonly frame?: string; readonly seq?: number }
		return frame ?? seq ?? 'nothing'
	})
}

/** Resolves when the server has no open streams. */
function released(server: RunningServer): Promise<void> {
	return expect.poll(() => server.report()).toMatchObject({ connections: 0, subscriptions: 0, watchers: 0 })
}

/** Returns the error that a promise rejects with. */
function failure(promise: Promise<unknown>): Promise<unknown> {
	return promise.then(
		() => null,
		(error: unknown) => error,
	)
}
