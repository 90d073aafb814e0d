import { expect, test } from 'vitest'
import { StreamServer } from '../../support/servers/stream-server.js'

const STARTED = { event_type: 'plan_started', data: { query: 'Which?', total_steps: 1 } }
const COMPLETED = { event_type: 'plan_completed', data: {} }

function ask(server: StreamServer, input: Record<string, unknown>, signal?: AbortSignal): Promise<Response> {
	const url = `${server.url}/trpc/plans.events?input=${encodeURIComponent(JSON.stringify(input))}`
	return fetch(url, signal === undefined ? {} : { signal })
}

/** Names of the events in a stream; a message has none. */
function names(body: string): string[] {
	return body.split('\n\n').flatMap((block) => (block.includes('data: ') ? [/^event: (.*)$/m.exec(block)?.[1] ?? 'message'] : []))
}

test('a finished stream ends with return, in headers that no proxy holds back', async () => {
	await using server = await StreamServer.start()
	await server.publish('p', [STARTED, COMPLETED])
	const response = await ask(server, { plan_id: 'p' })
	expect(Object.fromEntries(response.headers)).toMatchObject({
		'content-type': 'text/event-stream',
		'cache-control': 'no-cache, no-transform',
		'x-accel-buffering': 'no',
		'x-content-type-options': 'nosniff',
		connection: 'close',
	})
	expect(names(await response.text())).toEqual(['connected', 'message', 'message', 'message', 'message', 'return'])
	await server.quiet()
})

test('a stream that the server cuts ends without return, so that the stock client resumes', async () => {
	await using server = await StreamServer.start()
	await server.publish('p', [STARTED])
	const response = await ask(server, { plan_id: 'p' })
	await server.until(() => server.hub.report().subscriptions, 1)
	server.drain()
	const body = await response.text()
	expect(names(body)).toEqual(['connected', 'message', 'message', 'message'])
	expect(body).toContain('"reason":"draining","final_seq":1,"resume":true')
	await server.quiet()
	await server.until(() => server.sockets.size, 0)
})

test('a stream beyond the limit is refused so that the stock client retries', async () => {
	await using server = await StreamServer.start({ maxConnections: 1 })
	const left = new AbortController()
	await ask(server, { plan_id: 'p' }, left.signal)
	await server.until(() => server.report().map(({ subscribed_plans }) => subscribed_plans), [['p']])
	const body = await (await ask(server, { plan_id: 'p' })).text()
	expect(names(body)).toEqual(['connected', 'serialized-error'])
	expect(body).toContain('"code":"SERVICE_UNAVAILABLE"')
	expect(body).toContain('"code":"too_many_connections"')
	left.abort()
	await server.quiet()
})

test('an invalid subscription gets its reason once, and is not retried', async () => {
	await using server = await StreamServer.start()
	for (const input of [{ plan_id: 'a b' }, { plan_id: 'p', after: 'nonsense' }, { plan_id: 'p', event_types: ['nonsense'] }]) {
		const body = await (await ask(server, input)).text()
		expect(names(body)).toEqual(['connected', 'serialized-error'])
		expect(body).toContain('"code":"bad_request"')
	}
	await server.quiet()
})

test('a reader that stops reading for too long is disconnected', async () => {
	await using server = await StreamServer.start({ limits: { stallTimeoutMs: 200 } })
	const response = await ask(server, { plan_id: 'p' })
	await server.until(() => server.hub.report().subscriptions, 1)
	const data = { channel: 'text', index: 0, delta: 'x'.repeat(60_000) }
	const events = Array.from({ length: 16 }, () => ({ event_type: 'step_output', step_id: 's', data }))
	for (let round = 0; round < 20; round++) await server.publish('p', events)
	await server.quiet()
	expect(await response.text().catch(() => 'cut')).not.toContain('"seq":320,')
})
