import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import type { ReadyFrame } from '@planstream/shared'
import { expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { LOCAL_PRINCIPAL } from '../../../server/src/hub/principal.js'
import { Target } from '../../../server/src/testing/target.js'
import { sendRequest } from '../../support/http-request.js'
import { StreamServer } from '../../support/servers/stream-server.js'
import { startTestServer } from '../../support/servers/test-server.js'
import { connectPlainSocket, TrpcSocketClient } from '../../support/streams/socket-client.js'
import { READERS } from '../../support/streams/stream-readers.js'
import { trpcPath } from '../../support/streams/trpc-transcripts.js'

const STARTED = { event_type: 'plan_started', data: { query: 'Which?', total_steps: 1 } }
const COMPLETED = { event_type: 'plan_completed', data: {} }

function outputs(count: number, size: number): Record<string, unknown>[] {
	return Array.from({ length: count }, (_, index) => ({
		event_type: 'step_output',
		step_id: 's',
		data: { channel: 'text', index, delta: 'x'.repeat(size) },
	}))
}

/** More than the kernel takes for a connection that reads nothing. */
async function flood(server: StreamServer): Promise<void> {
	for (let round = 0; round < 20; round++) await server.publish('p', outputs(16, 60_000))
}

test.each(['/trpc', '/api/v1/streaming/ws/c?plan_id=p'])(
	'over %s a reader that stops reading gets an end frame with slow and resume before it is cut',
	async (path) => {
		await using server = await StreamServer.start({ limits: { stallTimeoutMs: 600 } })
		await server.publish('p', [STARTED])
		const client = new WebSocket(`${server.url.replace('http', 'ws')}${path}`)
		const got: string[] = []
		client.on('message', (data: Buffer) => got.push(String(data)))
		await once(client, 'open')
		if (path === '/trpc')
			client.send(JSON.stringify({ id: 1, method: 'subscription', params: { path: 'plans.events', input: { plan_id: 'p' } } }))
		await server.until(() => server.watchers, 1)
		client.pause()
		await flood(server)
		await server.until(() => server.deliveries.report().slow, 1)
		client.resume()
		const [code] = await once(client, 'close')
		expect(code).toBe(4308)
		const events = got.filter((text) => text.includes('"event_type":"step_output"'))
		expect(got.at(-1)).toContain('"frame":"end"')
		expect(got.at(-1)).toContain(`"reason":"slow","final_seq":321,"resume":true`)
		expect(got.at(-1)).toContain(/"cursor":"[^"]+"/.exec(events.at(-1) ?? '')?.[0])
		expect(events.length).toBeLessThan(320)
		expect(server.deliveries.report().fell_behind).toBeGreaterThan(0)
		await server.quiet()
	},
)

/** The rest of a response that nobody reads until the test does. */
async function pausedStream(server: StreamServer, path: string): Promise<{ socket: Socket; text: () => string }> {
	const socket = connect(server.port, '127.0.0.1')
	let text = ''
	socket.on('data', (bytes) => {
		text += String(bytes)
	})
	socket.write(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`)
	await server.until(() => text.includes('"event_type":"plan_started"'), true)
	socket.pause()
	return { socket, text: () => text }
}

const SLOW = String.raw`\{"frame":"end",.*"reason":"slow","final_seq":321,"resume":true\}`
const OVER = String.raw`\r\n0\r\n\r\n$`

test.each([
	['/api/v1/streaming/plans/p/events', String.raw`event: end\nid: \S+\ndata: ${SLOW}\n\n`],
	[trpcPath({ plan_id: 'p' }), String.raw`\ndata: ${SLOW}\nid: \S+\n\n\n`],
])('over SSE at %s the same is the last event of the response', async (path, last) => {
	await using server = await StreamServer.start({ limits: { stallTimeoutMs: 600 } })
	await server.publish('p', [STARTED])
	const { socket, text } = await pausedStream(server, path)
	await flood(server)
	await server.until(() => server.deliveries.report().slow, 1)
	socket.resume()
	await once(socket, 'close')
	expect(text()).toMatch(new RegExp(last + OVER))
	await server.quiet()
})

test('a reader that falls behind and catches up receives every event once', async () => {
	await using server = await StreamServer.start()
	await server.publish('p', [STARTED])
	await using client = await connectPlainSocket(server.url, 'c?plan_id=p')
	await client.until(({ seq }) => seq === 1)
	const seqs: unknown[] = []
	for (let round = 0; round < 3; round++) {
		client.socket.pause()
		await flood(server)
		await server.until(() => server.deliveries.report().fell_behind, round + 1)
		client.socket.resume()
		const last = 1 + (round + 1) * 320
		seqs.push(...(await client.until(({ seq }) => seq === last)).map(({ seq }) => seq))
		await server.until(() => server.deliveries.report().waiting, 1)
	}
	expect(seqs).toEqual(Array.from({ length: 960 }, (_, index) => index + 2))
	expect(server.report()[0]).toMatchObject({ delivered: 961, lagging: false })
})

test('/metrics counts the readers that are behind, and how often readers fell behind', async () => {
	await using server = await startTestServer()
	const target = new Target(server.url)
	const metric = async (name: string) =>
		new RegExp(`^planstream_streams_${name} (\\d+)$`, 'm').exec((await sendRequest(server, '/metrics')).text)?.[1]
	await target.publish('p', [STARTED])
	await using client = await connectPlainSocket(server.url, 'c?plan_id=p')
	await client.until(({ seq }) => seq === 1)
	await expect.poll(() => metric('behind')).toBe('0')
	expect(await metric('fell_behind_total')).toBe('0')
	client.socket.pause()
	for (let round = 0; round < 20; round++) await target.publish('p', outputs(16, 60_000))
	await expect.poll(() => metric('behind')).toBe('1')
	expect(await metric('fell_behind_total')).toBe('1')
	client.socket.resume()
	await client.until(({ seq }) => seq === 321)
	await expect.poll(() => metric('behind')).toBe('0')
})

test.each(READERS)('over %s a reader with a pace receives every event', async (_name, read) => {
	await using server = await StreamServer.start()
	await server.publish('p', [STARTED, ...outputs(20, 10)])
	const seqs: number[] = []
	for await (const { item } of read(server.url, { plan_id: 'p', max_events_per_s: 100 })) {
		if (!('event_type' in item)) continue
		seqs.push(item.seq ?? 0)
		if (seqs.length === 21) await server.publish('p', [...outputs(10, 10), COMPLETED])
	}
	expect(seqs).toEqual(Array.from({ length: 32 }, (_, index) => index + 1))
	await server.quiet()
})

test.each(READERS)('over %s a reader behind the trimmed events learns in mid-stream where it continues', async (_name, read) => {
	await using server = await StreamServer.start()
	await server.publish('p', [STARTED, ...outputs(600, 10)])
	const seqs: number[] = []
	const readies: ReadyFrame[] = []
	for await (const { item } of read(server.url, { plan_id: 'p', max_events_per_s: 1000 })) {
		if ('frame' in item && item.frame === 'ready') readies.push(item)
		if (!('event_type' in item)) continue
		if (seqs.push(item.seq) !== 1) continue
		await server.hub.trim({ tenant: LOCAL_PRINCIPAL.tenant, plan_id: 'p' }, 500)
		await server.publish('p', [COMPLETED])
	}
	expect(readies.map(({ reset, from_seq, state }) => [reset?.reason, from_seq, state?.seq])).toEqual([
		[undefined, 1, undefined],
		['trimmed', 500, 499],
	])
	const first = seqs.findIndex((seq) => seq >= 500)
	expect(first).toBeLessThan(499)
	expect(seqs).toEqual([
		...Array.from({ length: first }, (_, index) => index + 1),
		...Array.from({ length: 103 }, (_, index) => 500 + index),
	])
	await server.quiet()
})

test('an invalid pace is refused', async () => {
	await using server = await StreamServer.start()
	await using wire = await new TrpcSocketClient(server).open()
	for (const max_events_per_s of [0, -1, 1.5, 1e9]) {
		const input = { plan_id: 'p', max_events_per_s }
		wire.send({ id: 1, method: 'subscription', params: { path: 'plans.events', input } })
		expect((await wire.next()).error?.data.problem.code).toBe('bad_request')
	}
})
