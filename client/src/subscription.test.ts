import { PlanstreamError, type ReadyFrame } from '@planstream/shared'
import { describe, expect, it } from 'vitest'
import { type ScriptedConnection, ScriptedTransport } from '#test/support/client/scripted-transport.js'
import { ManualClock } from '#test/support/manual-clock.js'
import { type Connection, ConnectionMonitor } from './connection.js'
import { PlanReader } from './stream-reader.js'
import { Subscription, type TransportChooser } from './subscription.js'
import { Lifetime } from './timing.js'
import { BufferedByProxy, ConnectionLost, type Delivery } from './transports/transport.js'
import type { StreamRoute, SubscribeOptions } from './types.js'

const ROUTE: StreamRoute = { name: 'plans.events', path: '/plans/{plan_id}/events', item: 'any' }
const cut = new ConnectionLost('cut')

const event = (seq: number): Delivery => ({ cursor: `e.${seq}`, item: { event_type: 'step_progress', seq } })
const ready = (from_seq = 1, reset: ReadyFrame['reset'] = null): Delivery => {
	const cursor = `e.${from_seq - 1}`
	return { cursor, item: { frame: 'ready', cursor, from_seq, reset } }
}
const end = (resume: boolean): Delivery => ({ cursor: 'e.9', item: { frame: 'end', cursor: 'e.9', resume } })
const problem = (code: 'bad_request' | 'draining'): Delivery => ({
	cursor: null,
	item: { frame: 'problem', plan_id: 'p', cursor: null, ...new PlanstreamError(code, 'No.').toProblem() },
})

interface SetUp {
	readonly options?: SubscribeOptions
	/** Returns the connections of the transport after its first. */
	readonly other?: readonly ScriptedConnection[]
}

function setUp(scripts: readonly ScriptedConnection[], { options = {}, other }: SetUp = {}) {
	const first = new ScriptedTransport('websocket', scripts)
	const second = new ScriptedTransport('sse', other ?? [])
	const clock = new ManualClock()
	const monitor = new ConnectionMonitor('websocket')
	const scope = new Lifetime()
	const states: Connection['state'][] = []
	monitor.listen(({ state }) => states.push(state))
	let transport = first
	const transports: TransportChooser = {
		getCurrent: () => transport,
		recordStart: () => {},
		recordFailure: () => {
			const changed = other !== undefined && transport === first
			if (changed) transport = second
			return changed
		},
	}
	const ports = { transports, clock, random: () => 0.5, backoff: { initialMs: 100, factor: 2, maxMs: 1000 } }
	const limits = {
		address: 'http://host',
		connectTimeoutMs: 5000,
		provenAfterMs: 15_000,
		mayRenew: (_: unknown): _ is Error => false,
	}
	const report = monitor.report.bind(monitor)
	const subscription = new Subscription(
		{ route: ROUTE, input: { plan_id: 'p' }, reader: new PlanReader(options, ({ event }) => event), signal: options.signal },
		{ ...ports, ...limits, report },
	)
	return { events: subscription.items(scope), first, second, clock, monitor, states, scope }
}

/** Lets everything run that does not wait for time. */
const settled = () => new Promise((resolve) => setImmediate(resolve))

/** Reads to the end and advances the clock whenever nothing moves. */
async function readAll({
	events,
	clock,
}: Pick<ReturnType<typeof setUp>, 'events' | 'clock'>): Promise<{ seqs: number[]; delays: number[] }> {
	const seqs: number[] = []
	const delays: number[] = []
	let running = true
	const reading = (async () => {
		for await (const { seq } of events) seqs.push(seq)
	})().finally(() => {
		running = false
	})
	reading.catch(() => {}) // awaited below
	for (await settled(); running; await settled()) {
		const before = clock.now()
		while (clock.pending > 0 && clock.now() - before < 10_000) {
			clock.advance(1)
			await settled()
		}
		delays.push(clock.now() - before)
		if (delays.length > 50) throw new Error('The subscription waits for nothing.')
	}
	await reading
	return { seqs, delays }
}

describe('subscription', () => {
	it('ends at a final end frame', async () => {
		const test = setUp([{ deliveries: [ready(), event(1), event(2), end(false)], ending: 'hang' }])
		expect((await readAll(test)).seqs).toEqual([1, 2])
		expect(test.first.openConnections).toBe(0)
		expect(test.clock.pending).toBe(0)
		expect(test.states).toEqual(['connecting', 'open', 'idle'])
	})

	it('ends when the server answers that nothing follows the position', async () => {
		expect((await readAll(setUp([{ ending: 'finished' }]))).seqs).toEqual([])
	})

	it.each([
		['a lost connection', { deliveries: [ready(), event(1), event(2)], ending: cut }],
		['a stream that closes without an end frame', { deliveries: [ready(), event(1), event(2)] }],
		['a resumable end frame', { deliveries: [ready(), event(1), event(2), end(true)] }],
		['a retryable problem', { deliveries: [ready(), event(1), event(2), problem('draining')], ending: 'hang' }],
	] satisfies [string, ScriptedConnection][])(
		'resumes after the last cursor, and drops events it has seen, after %s',
		async (_, first) => {
			const test = setUp([first, { deliveries: [ready(2), event(2), event(3), end(false)] }])
			expect((await readAll(test)).seqs).toEqual([1, 2, 3])
			const resumedAt = first.deliveries.some(({ item }) => 'resume' in (item as object)) ? 'e.9' : 'e.2'
			expect(test.first.requests.map(({ lastCursor }) => lastCursor)).toEqual([null, resumedAt])
			expect(test.states).toEqual(['connecting', 'open', 'reconnecting', 'open', 'idle'])
		},
	)

	it.each([
		['before the stream begins', { refuse: new PlanstreamError('bad_request', 'No.') }],
		['within the stream', { deliveries: [ready(), event(1), problem('bad_request')], ending: 'hang' }],
	] satisfies [string, ScriptedConnection][])('throws a permanent error that the server sends %s', async (_, script) => {
		const test = setUp([script])
		await expect(readAll(test)).rejects.toMatchObject({ name: 'PlanstreamError', code: 'bad_request', message: 'No.' })
		expect(test.first.openConnections).toBe(0)
		expect(test.monitor.current.state).toBe('idle')
	})

	it('waits longer after each consecutive failure, and starts over after an event', async () => {
		const refused = { refuse: cut }
		const test = setUp([refused, refused, refused, { deliveries: [ready(), event(1)] }, { deliveries: [end(false)] }])
		expect((await readAll(test)).delays).toEqual([50 + 100 + 200 + 50])
	})

	it('waits for the delay the server asks for plus its own share', async () => {
		const test = setUp([{ refuse: new ConnectionLost('later', { retryAfterMs: 3000 }) }, { deliveries: [end(false)] }])
		expect((await readAll(test)).delays).toEqual([3050])
	})

	it('tries another transport at once when the first never connected', async () => {
		const test = setUp([{ refuse: cut }], { other: [{ deliveries: [ready(), event(1), end(false)] }] })
		expect(await readAll(test)).toEqual({ seqs: [1], delays: [] })
		expect(test.states).not.toContain('reconnecting')
		expect(test.second.requests).toHaveLength(1)
	})

	it('tries another transport at once when a proxy buffers the first', async () => {
		const held = { deliveries: [ready(), event(1)], ending: new BufferedByProxy('nothing came') }
		const test = setUp([held], { other: [{ deliveries: [ready(2), event(2), end(false)] }] })
		expect(await readAll(test)).toEqual({ seqs: [1, 2], delays: [] })
		expect(test.second.requests.map(({ lastCursor }) => lastCursor)).toEqual(['e.1'])
	})

	it('retries when no answer arrives within the connect timeout', async () => {
		const test = setUp([{ silent: true }, { deliveries: [end(false)] }])
		expect((await readAll(test)).delays).toEqual([5050])
		expect(test.first.openConnections).toBe(0)
	})

	it('reports ready on each connection, and reset before it when the position was not honoured', async () => {
		const told: string[] = []
		const options: SubscribeOptions = {
			onReady: ({ from_seq }) => told.push(`ready ${from_seq}`),
			onReset: ({ reset }) => told.push(`reset ${reset?.reason}`),
		}
		const second = { deliveries: [ready(1, { reason: 'epoch' }), event(1), end(false)] }
		const test = setUp([{ deliveries: [ready(3), event(3)], ending: cut }, second], { options })
		expect((await readAll(test)).seqs).toEqual([3, 1])
		expect(told).toEqual(['ready 3', 'reset epoch', 'ready 1'])
	})

	it('yields events of a newer version in their place when asked to', async () => {
		const told: unknown[] = []
		const later: Delivery = { cursor: 'e.2', item: { event_type: 'step_teleported', seq: 2, data: { to: 'the moon' } } }
		const deliveries = [ready(), event(1), later, later, event(3), end(false)]
		const test = setUp([{ deliveries }], { options: { onUnknown: (unknown) => told.push(unknown) } })
		expect((await readAll(test)).seqs).toEqual([1, 3])
		expect(told).toEqual([later.item])
		expect((await readAll(setUp([{ deliveries }]))).seqs).toEqual([1, 3])
	})

	it('releases everything when the loop is left', async () => {
		const { events, first, clock, monitor } = setUp([{ deliveries: [ready(), event(1)], ending: 'hang' }])
		for await (const _ of events) break
		expect([first.openConnections, clock.pending, monitor.current.state]).toEqual([0, 0, 'idle'])
	})

	it.each([
		['while it connects', [{ silent: true }]],
		['while it waits for an event', [{ deliveries: [ready()], ending: 'hang' }]],
		['while it waits for the next attempt', [{ refuse: cut }]],
	] satisfies [string, ScriptedConnection[]][])('ends without an error when it is aborted %s', async (_, scripts) => {
		const abort = new AbortController()
		const { events, first, clock } = setUp(scripts, { options: { signal: abort.signal } })
		const next = events.next()
		await settled()
		abort.abort()
		expect(await next).toEqual({ done: true, value: undefined })
		expect([first.openConnections, clock.pending]).toEqual([0, 0])
	})

	it('never connects when it was aborted before it started', async () => {
		const { events, first } = setUp([], { options: { signal: AbortSignal.abort() } })
		expect((await events.next()).done).toBe(true)
		expect(first.requests).toEqual([])
	})

	it('ends at once when it starts after the client was closed', async () => {
		const { events, scope, first } = setUp([])
		scope.close()
		expect((await events.next()).done).toBe(true)
		expect(first.requests).toEqual([])
	})

	it('ends when the client is closed', async () => {
		const { events, scope, first } = setUp([{ deliveries: [ready()], ending: 'hang' }])
		const next = events.next()
		await settled()
		scope.close()
		expect((await next).done).toBe(true)
		expect(first.openConnections).toBe(0)
	})
})
