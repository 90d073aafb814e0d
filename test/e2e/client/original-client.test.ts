import { readFileSync } from 'node:fs'
import { createContext, runInContext } from 'node:vm'
import { expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { post, sendRequest } from '../../support/http-request.js'
import { startTestServer } from '../../support/servers/test-server.js'
import { connectPlainSocket, type PlainMessage, type SocketClient } from '../../support/streams/socket-client.js'

const SNIPPET = readFileSync(new URL('../../support/client/original-client.js', import.meta.url), 'utf8')
const STREAMING = '/api/v1/streaming'

/** A plan as clients of the system before this one describe it; the agent reports as theirs did. */
function plan(plan_id: string) {
	const updates = [0.25, 0.5, 0.75].map((progress) => ({ progress }))
	const input = { updates, result: { found: 3 }, quality_score: 0.9 }
	const step = (step_id: string) => ({ step_id, action: 'search', agent_type: 'scripted', input })
	return { plan_id, query: 'Which registry?', research_type: 'comprehensive', steps: ['step_1', 'step_2', 'step_3'].map(step) }
}

const SEVENTEEN = [
	'plan_started',
	...Array(3)
		.fill(['step_started', ...Array(3).fill('step_progress'), 'step_completed'])
		.flat(),
	'plan_completed',
]

/** The events of a plan, up to its end. */
async function eventsOf(client: SocketClient<PlainMessage>): Promise<PlainMessage[]> {
	const messages = await client.until(({ event_type }) => event_type === 'plan_completed')
	return messages.filter(({ event_type }) => event_type !== undefined)
}

function types(events: readonly PlainMessage[]): unknown[] {
	return events.map(({ event_type }) => event_type).filter((type) => type !== 'plan_created' && type !== 'quality_check')
}

test('the original client runs unchanged except for the address', async () => {
	await using server = await startTestServer()
	const said: string[] = []
	const over = new Promise<void>((resolve) => {
		const log = (sentence: string): void => {
			said.push(sentence)
			if (sentence === 'Disconnected') resolve()
		}
		const page = {
			WebSocket,
			URL: `${server.url.replace('http', 'ws')}${STREAMING}/ws`,
			console: { log, error: log },
			JSON,
			Math,
		}
		runInContext(SNIPPET, createContext(page))
	})
	await post(server, '/api/v1/plans', plan('plan_456'))
	await over
	const step = (id: string) => [
		`Step ${id} started by scripted`,
		...[25, 50, 75].map((percent) => `Step ${id}: ${percent}%`),
		`Step ${id} completed with quality 0.9`,
	]
	expect(said).toEqual([
		'Connected to streaming server',
		'Plan started: Which registry?',
		'Total steps: 3',
		...['step_1', 'step_2', 'step_3'].flatMap(step),
		'Plan completed!',
		'Pong for 2025-01-01T00:00:00',
		'Disconnected',
	])
})

test('a client receives a welcome when it connects', async () => {
	await using server = await startTestServer()
	await using client = await connectPlainSocket(server.url, 'test_client_1')
	expect((await sendRequest(server, `${STREAMING}/clients`)).body).toMatchObject({ client_count: 1, clients: ['test_client_1'] })
	expect(client.arrived).toEqual([])
})

test('a client receives the events of a plan when it subscribes', async () => {
	await using server = await startTestServer()
	await using client = await connectPlainSocket(server.url, 'test_client_2')
	client.send({ action: 'subscribe', plan_id: 'test_plan' })
	await client.until(({ frame }) => frame === 'ready')
	await post(server, '/api/v1/plans', plan('test_plan'))
	const events = await eventsOf(client)
	expect(types(events)).toEqual(SEVENTEEN)
	for (const event of events) {
		expect(event).toMatchObject({
			event_id: expect.any(String),
			plan_id: 'test_plan',
			data: expect.any(Object),
			timestamp: expect.any(String),
		})
		expect('step_id' in event).toBe(true)
	}
})

test('several clients of one plan receive the same events', async () => {
	await using server = await startTestServer()
	const clients = await Promise.all([1, 2, 3].map((id) => connectPlainSocket(server.url, `client_${id}?plan_id=shared`)))
	await using _all = {
		[Symbol.asyncDispose]: async () => void (await Promise.all(clients.map((client) => client[Symbol.asyncDispose]()))),
	}
	await expect
		.poll(async () => (await sendRequest(server, `${STREAMING}/plans/shared/subscribers`)).body)
		.toEqual({ plan_id: 'shared', subscriber_count: 3 })
	await post(server, '/api/v1/plans', plan('shared'))
	const [first, ...others] = await Promise.all(clients.map(eventsOf))
	expect(types(first ?? [])).toEqual(SEVENTEEN)
	for (const other of others) expect(other).toEqual(first)
})

test('a client receives earlier events when it joins late', async () => {
	await using server = await startTestServer()
	await using early = await connectPlainSocket(server.url, 'early?plan_id=history')
	await post(server, '/api/v1/plans', plan('history'))
	const seen = await eventsOf(early)
	await using late = await connectPlainSocket(server.url, 'late?plan_id=history')
	expect(await eventsOf(late)).toEqual(seen)
	expect((await sendRequest(server, `${STREAMING}/plans/history/history`)).body).toMatchObject({
		event_count: seen.length,
		events: seen,
		finished: true,
	})
})

test('a client receives nothing more when it has unsubscribed', async () => {
	await using server = await startTestServer()
	await using client = await connectPlainSocket(server.url, 'leaver?plan_id=left')
	await using witness = await connectPlainSocket(server.url, 'witness?plan_id=left')
	client.send({ action: 'unsubscribe', plan_id: 'left' })
	client.send({ action: 'ping', timestamp: 'after' })
	await client.until(({ event_type }) => event_type === 'pong')
	await post(server, '/api/v1/plans', plan('left'))
	expect(types(await eventsOf(witness))).toEqual(SEVENTEEN)
	client.send({ action: 'ping', timestamp: 'last' })
	expect(await client.next()).toMatchObject({ event_type: 'pong', data: { timestamp: 'last' } })
})

test('the server answers a ping, and the status endpoints list the connected clients', async () => {
	await using server = await startTestServer()
	await using client = await connectPlainSocket(server.url, 'status?plan_id=watched')
	client.send({ action: 'ping', timestamp: '2025-01-01T00:00:00' })
	const [pong] = (await client.until(({ event_type }) => event_type === 'pong')).slice(-1)
	expect(pong).toMatchObject({ event_type: 'pong', plan_id: 'system', data: { timestamp: '2025-01-01T00:00:00' } })
	expect((await sendRequest(server, `${STREAMING}/clients`)).body).toMatchObject({
		client_count: 1,
		connections: [{ client_id: 'status', subscribed_plans: ['watched'] }],
	})
	expect((await sendRequest(server, `${STREAMING}/plans/watched/subscribers`)).body).toEqual({
		plan_id: 'watched',
		subscriber_count: 1,
	})
	const empty = { event_count: 0, events: [], next_cursor: '0', head_seq: 0, finished: false }
	expect((await sendRequest(server, `${STREAMING}/plans/watched/history`)).body).toEqual({ plan_id: 'watched', ...empty })
})
