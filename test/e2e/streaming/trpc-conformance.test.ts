import { PlanstreamError } from '@planstream/shared'
import { afterEach, expect, test, vi } from 'vitest'
import { LOCAL_PRINCIPAL } from '../../../server/src/hub/principal.js'
import { PlanReader } from '../../../server/src/hub/reader.js'
import { READERS, type Received } from '../../support/streams/stream-readers.js'
import { fetchFromBoth, SocketPair, StreamPair, startBothServers, trpcPath } from '../../support/streams/trpc-transcripts.js'

const STARTED = { event_type: 'plan_started', data: { query: 'Ω "that"\n\u2028', total_steps: 1 } }
const COMPLETED = { event_type: 'plan_completed', data: { result: { '10': 'x', b: 1, '9': '😀' } } }
const STOPPED = '"type":"stopped"'
const ERROR = '"error":{"message":'
const PLAN = { tenant: LOCAL_PRINCIPAL.tenant, plan_id: 'p' }

afterEach(() => void vi.restoreAllMocks())

function outputs(count: number, step_id = 's'): Record<string, unknown>[] {
	return Array.from({ length: count }, (_, index) => ({
		event_type: 'step_output',
		step_id,
		data: { channel: 'text', index, delta: `${index} ä\n` },
	}))
}

/** Clients of both servers, over both transports, that have got the first event of a plan. */
async function follow({ server, urls }: Awaited<ReturnType<typeof startBothServers>>) {
	await server.publish('p', [STARTED])
	const pair = await SocketPair.open(urls)
	const streams = await StreamPair.open(urls, trpcPath({ plan_id: 'p' }))
	pair.subscribe(1, { plan_id: 'p' })
	await pair.hears('"event_type":"plan_started"')
	await streams.gets('"event_type":"plan_started"')
	const close = () => {
		streams[Symbol.dispose]()
		pair[Symbol.dispose]()
	}
	return { pair, streams, [Symbol.dispose]: close }
}

const WHOLE = [STARTED, ...outputs(300), COMPLETED]

test.each([
	['a number', 1, { jsonrpc: '2.0' }],
	['a text', 'Ω "1"', { jsonrpc: '2.0' }],
	['no version', 7, {}],
])('transcripts match for a whole plan under %s as id, from started to stopped', async (_name, id, head) => {
	await using both = await startBothServers()
	await both.server.publish('p', WHOLE)
	using pair = await SocketPair.open(both.urls)
	pair.say({ id, ...head, method: 'subscription', params: { path: 'plans.events', input: { plan_id: 'p' } } })
	expect(await pair.hears(STOPPED)).toHaveLength(WHOLE.length + 4)
})

test('transcripts match for events published one by one, in batches and without a reader, and for a stop', async () => {
	await using both = await startBothServers()
	using pair = await SocketPair.open(both.urls)
	pair.subscribe(1, { plan_id: 'p', follow: 'always' })
	await pair.hears('"frame":"ready"')
	await both.server.publish('p', [STARTED])
	await pair.hears('"event_type":"plan_started"')
	for (const output of outputs(20)) await both.server.publish('p', [output])
	await Promise.all(outputs(20).map((output) => both.server.publish('p', [output])))
	await both.server.publish('p', outputs(250))
	const got = await pair.hears('"event_type":"step_output"', 290)
	expect(got.filter((text) => text.includes('"frame":"ready"'))).toHaveLength(2)
	pair.stop(1)
	await pair.hears(STOPPED)
	await both.server.publish('p', outputs(5))
	pair.subscribe(1, { plan_id: 'p', after: 'now' })
	expect(await pair.hears('"type":"started"', 2)).toContain(got[0])
})

test('transcripts match for two subscriptions of one plan on one connection, one filtered, one resumed', async () => {
	await using both = await startBothServers()
	const { cursor } = await both.server.publish('p', [STARTED, ...outputs(5, 'a')])
	using pair = await SocketPair.open(both.urls)
	pair.subscribe(1, { plan_id: 'p', step_id: 'b' })
	pair.subscribe('two', { plan_id: 'p', after: 2 }, { lastEventId: cursor })
	pair.subscribe(3, { plan_id: 'p', event_types: ['plan_completed', 'step_output'], after: 'now', snapshot: true })
	await pair.hears('"frame":"ready"', 3)
	for (let round = 0; round < 5; round++) await both.server.publish('p', [...outputs(2, 'a'), ...outputs(2, 'b')])
	await both.server.publish('p', [COMPLETED])
	const got = await pair.hears(STOPPED, 3)
	const seen = (id: string) => got.filter((text) => text.startsWith(`text {"id":${id},`) && text.includes('"event_type"')).length
	expect([seen('1'), seen('"two"'), seen('3')]).toEqual([10, 21, 21])
})

test.each([
	['no plan', 'plans.events', {}],
	['a field that is none', 'plans.events', { plan_id: 'p', beyond: 1 }],
	['what is no position', 'plans.events', { plan_id: 'p', after: 'nonsense' }],
	['a snapshot where there is none', 'plans.events', { plan_id: 'p', after: 3, snapshot: true }],
	['no input at all', 'plans.events', undefined],
	['a procedure nobody knows', 'plans.steal', {}],
	['a procedure that is a query', 'plans.list', {}],
])('transcripts match for a subscription to %s, which is refused before the stream or in it', async (_name, path, input) => {
	await using both = await startBothServers()
	using pair = await SocketPair.open(both.urls)
	pair.say({ id: 1, jsonrpc: '2.0', method: 'subscription', params: { path, input } })
	await pair.hears(ERROR)
	pair.say('PING')
	await pair.hears('PONG')
	await fetchFromBoth(
		both.urls,
		`/trpc/${path}${input === undefined ? '' : `?input=${encodeURIComponent(JSON.stringify(input))}`}`,
	)
})

test('transcripts match for calls, batches of them, and malformed calls', async () => {
	await using both = await startBothServers()
	await both.server.publish('p', WHOLE)
	using pair = await SocketPair.open(both.urls)
	const call = (id: unknown, path: string, input: unknown, method = 'query') => ({ id, method, params: { path, input } })
	pair.say([
		call(1, 'agents.list', {}),
		call(2, 'plans.get', { plan_id: 'p' }),
		call(3, 'plans.events', { plan_id: 'p' }, 'subscription'),
	])
	await pair.hears(STOPPED)
	pair.say([
		call(4, 'plans.get', { plan_id: 'q' }),
		call(5, 'plans.steal', {}),
		call(6, 'plans.cancel', { plan_id: 'p' }, 'mutation'),
	])
	await pair.hears(ERROR, 3)
	pair.say(call(7, 'plans.events', { plan_id: 'p' }))
	pair.say(call(null, 'agents.list', {}))
	pair.say('nonsense')
	pair.say([1, null])
	pair.say({ id: 8, method: 'steal', params: {} })
	pair.say({ id: 9, jsonrpc: '1.0', method: 'query', params: { path: 'agents.list' } })
	await pair.hears(ERROR, 9)
	pair.say([
		...Array.from({ length: 101 }, (_, id) => call(100 + id, 'agents.list', {})),
		{ id: 7, method: 'subscription.stop' },
		'nonsense',
	])
	await pair.hears(ERROR, 110)
	pair.say(Array.from({ length: 101 }, () => ({ method: 'subscription.stop' })))
	await pair.hears(ERROR, 111)
})

test('transcripts match for an id in use, which is refused, and free after a stop', async () => {
	await using both = await startBothServers()
	using pair = await SocketPair.open(both.urls)
	pair.subscribe(1, { plan_id: 'p' })
	await pair.hears('"frame":"ready"')
	pair.subscribe(1, { plan_id: 'q' })
	await pair.hears(ERROR)
	pair.stop(1)
	pair.stop(1)
	pair.stop(2)
	await pair.hears(STOPPED)
	pair.subscribe(1, { plan_id: 'q' })
	await pair.hears('"frame":"ready"', 2)
})

test('transcripts match for a plan that is removed, and one that appears', async () => {
	await using both = await startBothServers()
	using following = await follow(both)
	const { pair, streams } = following
	await both.server.hub.trim(PLAN, 2)
	await both.server.publish('p', outputs(2))
	await pair.hears('"event_type":"step_output"', 2)
	await streams.gets('"index":1')
	await both.server.hub.remove(PLAN)
	expect((await pair.hears(STOPPED)).at(-2)).toContain('"reason":"deleted"')
	expect(await streams.gets('event: return')).toContain('"reason":"deleted"')
})

test('transcripts match for cursors that cannot be honoured', async () => {
	await using both = await startBothServers()
	const { cursor } = await both.server.publish('p', [STARTED, ...outputs(3)])
	await both.server.publish('p', [...outputs(3), COMPLETED])
	using pair = await SocketPair.open(both.urls)
	const other = `other.${cursor.split('.').slice(1).join('.')}`
	for (const [id, lastEventId] of [other, '99', 'nonsense', cursor.replace(/.$/, 'x')].entries()) {
		pair.subscribe(id, { plan_id: 'p' }, { lastEventId })
		await fetchFromBoth(both.urls, trpcPath({ plan_id: 'p' }), { headers: { 'last-event-id': lastEventId } })
		await fetchFromBoth(both.urls, trpcPath({ plan_id: 'p', lastEventId: cursor }, 'plans.events', { lastEventId }))
	}
	const got = await pair.hears(STOPPED, 4)
	expect(got.filter((text) => text.includes('"recovered":false'))).toHaveLength(4)
})

test.each([
	['what may pass', new PlanstreamError('storage_unavailable', 'The log cannot be read.')],
	['what stays', new PlanstreamError('not_found', 'The log is gone.')],
	['what nobody foresaw', new TypeError('secret')],
])('transcripts match for a log that breaks in mid-stream by %s, and works again', async (_name, failure) => {
	await using both = await startBothServers()
	using following = await follow(both)
	const { pair, streams } = following
	await both.server.until(() => both.server.watchers, 4)
	for (const reading of [both.server.services.log, PlanReader.prototype]) vi.spyOn(reading, 'read').mockRejectedValue(failure)
	await both.server.publish('p', outputs(1))
	expect((await pair.hears(STOPPED)).at(-2)).toContain(ERROR)
	await streams.gets('event: serialized-error')
	vi.restoreAllMocks()
	pair.subscribe(1, { plan_id: 'p' })
	expect(await pair.hears('"event_type":"step_output"')).toHaveLength(9)
})

test('transcripts match for parameters of the connection, and signs of life before them', async () => {
	await using both = await startBothServers()
	await both.server.publish('p', [STARTED, COMPLETED])
	using pair = await SocketPair.open(both.urls, '/trpc?connectionParams=1')
	pair.say('PING')
	pair.say('PONG')
	pair.say({ method: 'connectionParams', data: { client_id: 'c' } })
	pair.subscribe(1, { plan_id: 'p' })
	await pair.hears(STOPPED)
	for (const params of ['nonsense', { method: 'connectionParams', data: { token: 1 } }, { method: 'connectionParams' }]) {
		using refused = await SocketPair.open(both.urls, '/trpc?connectionParams=1')
		refused.say(params)
		const codes = await refused.closed()
		expect(codes[0]).toBe(codes[1])
		expect(await refused.hears(ERROR)).toHaveLength(1)
	}
	await fetchFromBoth(both.urls, trpcPath({ plan_id: 'p' }, 'plans.events', { connectionParams: '{"client_id":"c"}' }))
})

test('transcripts match for server-sent events: a whole plan, live, after an id, with filters', async () => {
	await using both = await startBothServers()
	using live = await StreamPair.open(both.urls, trpcPath({ plan_id: 'p' }))
	await live.gets('"plan_status":"unknown"')
	const { cursor } = await both.server.publish('p', [STARTED, ...outputs(20)])
	await live.gets('"index":19')
	for (const output of outputs(20)) await both.server.publish('p', [output])
	await both.server.publish('p', [...outputs(300), COMPLETED])
	expect(await live.gets('event: return')).toContain('event: connected')
	await fetchFromBoth(both.urls, trpcPath({ plan_id: 'p' }))
	await fetchFromBoth(both.urls, trpcPath({ plan_id: 'p', after: cursor }))
	await fetchFromBoth(both.urls, trpcPath({ plan_id: 'p', event_types: ['plan_completed'], snapshot: true }))
	const resumed = await fetchFromBoth(both.urls, trpcPath({ plan_id: 'p' }), { headers: { 'last-event-id': cursor } })
	expect(resumed).toContain('"from_seq":22')
})

test('transcripts match for server-sent events: requests that are not subscriptions, or not sent as one', async () => {
	await using both = await startBothServers()
	await fetchFromBoth(both.urls, trpcPath('nonsense'))
	await fetchFromBoth(both.urls, trpcPath('"text"'), { headers: { 'last-event-id': '3' } })
	await fetchFromBoth(both.urls, '/trpc/plans.events', { headers: { 'last-event-id': '3' } })
	await fetchFromBoth(both.urls, trpcPath({ 0: { plan_id: 'p' } }, 'plans.events', { batch: '1' }))
})

test('transcripts match for the live list of plans, which has no ids', async () => {
	await using both = await startBothServers()
	await both.server.publish('p', [STARTED])
	using pair = await SocketPair.open(both.urls)
	using streams = await StreamPair.open(both.urls, trpcPath({}, 'plans.changes'))
	pair.say({ id: 1, method: 'subscription', params: { path: 'plans.changes', input: {} } })
	await pair.hears('"reset":true')
	await streams.gets('"reset":true')
	await both.server.publish('p', [COMPLETED])
	await pair.hears('"status":"completed"')
	await streams.gets('"status":"completed"')
	pair.stop(1)
	await pair.hears(STOPPED)
})

test('a client that is gone leaves nothing behind', async () => {
	await using both = await startBothServers()
	const pair = await SocketPair.open(both.urls)
	using streams = await StreamPair.open(both.urls, trpcPath({ plan_id: 'p' }))
	for (let id = 0; id < 10; id++) pair.subscribe(id, { plan_id: id % 2 === 0 ? 'p' : 'q' })
	await pair.hears('"frame":"ready"', 10)
	pair[Symbol.dispose]()
	streams[Symbol.dispose]()
	await both.server.quiet()
	expect(both.server.deliveries.report()).toMatchObject({ streams: 0, waiting: 0, plans: 0 })
})

test.each(READERS.slice(0, 2))("transcripts match when tRPC's own client reads from both, by %s", async (_name, read) => {
	await using both = await startBothServers()
	await both.server.publish('p', [STARTED])
	const readings = both.urls.map(async (url) => {
		const items: Received[] = []
		for await (const item of read(url, { plan_id: 'p' })) items.push(item)
		return items
	})
	await both.server.until(() => both.server.watchers, 2)
	await both.server.publish('p', outputs(20))
	await both.server.publish('p', [...outputs(20), COMPLETED])
	const [ours, stock] = await Promise.all(readings)
	expect(ours).toEqual(stock)
	expect(ours).toHaveLength(42 + 2)
})
