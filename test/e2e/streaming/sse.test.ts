import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { promisify } from 'node:util'
import { EventSource } from 'eventsource'
import { expect, test } from 'vitest'
import { StreamServer, type StreamServerOptions } from '../../support/servers/stream-server.js'
import { sseUrl } from '../../support/streams/stream-readers.js'

const STARTED = { event_type: 'plan_started', data: { query: 'Which?', total_steps: 1 } }
const FAILED = { event_type: 'error', data: { code: 'e', message: 'm' } }
const COMPLETED = { event_type: 'plan_completed', data: {} }

/** A server with a finished plan of three events, and their cursors. */
async function finished(options: StreamServerOptions = {}) {
	const server = await StreamServer.start(options)
	const cursors: string[] = []
	for (const event of [STARTED, FAILED, COMPLETED]) cursors.push((await server.publish('p', [event])).cursor)
	const [, second = '', head = ''] = cursors
	return { server, second, head, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() }
}

function ask(server: StreamServer, query: Record<string, string>, init: RequestInit = {}): Promise<Response> {
	return fetch(sseUrl(server.url, { plan_id: 'p', ...query }), init)
}

function seqs(body: string): number[] {
	return [...body.matchAll(/^data: \{"seq":(\d+)/gm)].map(([, seq]) => Number(seq))
}

test('curl reads a finished plan to its end and stops', async () => {
	await using plan = await finished()
	const { stdout } = await promisify(execFile)('curl', [
		'-sSNi',
		'-H',
		'Origin: http://localhost:5173',
		sseUrl(plan.server.url, { plan_id: 'p' }),
	])
	const [head = '', ...body] = stdout.split('\r\n\r\n')
	expect(head.split('\r\n')[0]).toBe('HTTP/1.1 200 OK')
	const headers = head.toLowerCase()
	for (const line of [
		'content-type: text/event-stream; charset=utf-8',
		'cache-control: no-cache, no-transform',
		'x-accel-buffering: no',
		'x-content-type-options: nosniff',
		'connection: close',
		'access-control-allow-origin: http://localhost:5173',
	])
		expect(headers).toContain(line)
	const blocks = body.join('\r\n\r\n').split('\n\n')
	expect(blocks[0]).toMatch(/^: planstream\nretry: [1-4]\d\d\d$/)
	const texts = await plan.server.texts('p')
	const cursors = texts.map((text) => (JSON.parse(text) as { cursor: string }).cursor)
	expect(blocks[1]).toMatch(/^event: ready\nid: \S+\.0\.0{16}\ndata: \{"frame":"ready",/)
	expect(blocks.slice(2, 5)).toEqual(texts.map((text, index) => `id: ${cursors[index]}\ndata: ${text}`))
	expect(blocks[5]).toMatch(/^event: end\nid: \S+\ndata: \{"frame":"end",.*"reason":"completed","final_seq":3,"resume":false\}$/)
	expect(blocks[5]).toContain(`id: ${plan.head}\n`)
	await plan.server.quiet()
})

test('Last-Event-ID wins over lastEventId, that over last_event_id, and that over after', async () => {
	await using plan = await finished()
	const { server, second } = plan
	const headers = { 'last-event-id': second }
	expect(seqs(await (await ask(server, { last_event_id: '0', after: '1' }, { headers })).text())).toEqual([3])
	expect(seqs(await (await ask(server, { last_event_id: '1', after: '0' })).text())).toEqual([2, 3])
	expect(seqs(await (await ask(server, { lastEventId: second, last_event_id: '0' })).text())).toEqual([3])
	expect(seqs(await (await ask(server, { lastEventId: '0' }, { headers })).text())).toEqual([3])
	expect(seqs(await (await ask(server, { after: '2' })).text())).toEqual([3])
	expect(seqs(await (await ask(server, {}, { headers: { 'last-event-id': '' } })).text())).toEqual([1, 2, 3])
})

test('a response ends after the given time, and is resumed with its last id', async () => {
	await using server = await StreamServer.start()
	await server.publish('p', [STARTED])
	const page = await (await ask(server, { close_after_ms: '50' })).text()
	expect([seqs(page), page.includes('event: end')]).toEqual([[1], false])
	await server.publish('p', [FAILED, COMPLETED])
	const last_event_id = [...page.matchAll(/^id: (\S+)$/gm)].at(-1)?.[1] ?? ''
	const rest = await (await ask(server, { close_after_ms: '60000', last_event_id })).text()
	expect([seqs(rest), rest.includes('event: end')]).toEqual([[2, 3], true])
	const list = await fetch(`${server.url}/api/v1/streaming/plans/changes?close_after_ms=50`)
	expect(await list.text()).toContain('"reset":true')
	await server.quiet()
	for (const close_after_ms of ['-1', '0.5', '60001', 'soon']) {
		const refused = await ask(server, { close_after_ms })
		expect([refused.status, await refused.json()]).toMatchObject([400, { code: 'bad_request', path: 'close_after_ms' }])
	}
})

test('an invalid Last-Event-ID is answered by a reset, because a browser cannot change it', async () => {
	await using plan = await finished()
	for (const garbage of ['nonsense', 'x'.repeat(5000)]) {
		const body = await (await ask(plan.server, {}, { headers: { 'last-event-id': garbage } })).text()
		expect(body).toContain('"reset":{"reason":"epoch"}')
		expect(seqs(body)).toEqual([1, 2, 3])
	}
})

test('only a reader that has seen the end of a finished plan gets 204', async () => {
	await using plan = await finished()
	const { server, second, head } = plan
	expect((await ask(server, {}, { headers: { 'last-event-id': head } })).status).toBe(204)
	expect((await ask(server, { after: head })).status).toBe(204)
	expect((await ask(server, { after: head, event_types: 'error' })).status).toBe(204)
	const others: Record<string, string>[] = [{ after: second }, { after: '3' }, { after: 'start' }, { after: 'now' }]
	for (const query of others) expect((await ask(server, query)).status).toBe(200)
	for (const [query, plan_id] of [[{ after: head, follow: 'always' }, 'p'] as const, [{ after: head }, 'unknown'] as const]) {
		const left = new AbortController()
		const { status } = await fetch(sseUrl(server.url, { plan_id, ...query }), { signal: left.signal })
		expect(status).toBe(200)
		left.abort()
	}
	await server.quiet()
})

test('an EventSource stops by itself: the end closes it, and its reconnect gets 204', { timeout: 20_000 }, async () => {
	await using plan = await finished()
	const source = new EventSource(sseUrl(plan.server.url, { plan_id: 'p', event_types: ['error'] }))
	const listened = new Promise<{ types: string[]; code: number | undefined }>((resolve) => {
		const types: string[] = []
		source.addEventListener('message', ({ data }: MessageEvent<string>) =>
			types.push((JSON.parse(data) as { event_type: string }).event_type),
		)
		source.addEventListener('error', ({ code }) => {
			if (source.readyState === EventSource.CLOSED) resolve({ types, code })
		})
	})
	expect(await listened).toEqual({ types: ['error'], code: 204 })
	await plan.server.quiet()
})

test('an invalid request is refused before the stream, with its status and the remedy', async () => {
	await using plan = await finished()
	const refusals: readonly (readonly [Record<string, string>, string])[] = [
		[{ after: 'nonsense' }, 'after'],
		[{ last_event_id: 'nonsense' }, 'last_event_id'],
		[{ event_types: 'plan_started,nonsense' }, 'event_types[1]'],
		[{ follow: 'forever' }, 'follow'],
		[{ snapshot: 'yes' }, 'snapshot'],
		[{ snapshot: 'true', after: '1' }, 'snapshot'],
		[{ step_id: 'a b' }, 'step_id'],
		[{ event_type: 'error' }, 'event_type'],
	]
	for (const [query, path] of refusals) {
		const response = await ask(plan.server, query)
		expect(response.headers.get('content-type')).toBe('application/problem+json')
		expect(await response.json()).toMatchObject({ status: 400, code: 'bad_request', path })
	}
	await plan.server.quiet()
})

test('the query accepts lists by comma and by repetition, and booleans as words', async () => {
	await using plan = await finished()
	const url = `${sseUrl(plan.server.url, { plan_id: 'p' })}event_types=plan_started,error&event_types=plan_completed&snapshot=true`
	const body = await (await fetch(url)).text()
	expect(seqs(body)).toEqual([1, 2, 3])
	expect(body).toContain('"state":{"plan_id":"p"')
})

test('HEAD returns the headers and leaves no stream behind', async () => {
	await using plan = await finished()
	const response = await ask(plan.server, {}, { method: 'HEAD' })
	expect([response.status, response.headers.get('content-type')]).toEqual([200, 'text/event-stream; charset=utf-8'])
	expect((await ask(plan.server, { after: plan.head }, { method: 'HEAD' })).status).toBe(204)
	expect((await ask(plan.server, { after: 'nonsense' }, { method: 'HEAD' })).status).toBe(400)
	await plan.server.quiet()
})

test('an idle stream sends a comment as its sign of life, and its position', async () => {
	await using server = await StreamServer.start({ limits: { heartbeatMs: 5 } })
	const { cursor } = await server.publish('p', [STARTED])
	const left = new AbortController()
	const response = await ask(server, {}, { signal: left.signal })
	let text = ''
	for await (const chunk of (response.body ?? expect.fail('no body')).pipeThrough(new TextDecoderStream())) {
		text += chunk
		if (text.split(': heartbeat\n\n').length > 3) break
	}
	expect(text).toContain(
		`: heartbeat\n\nevent: position\nid: ${cursor}\ndata: {"frame":"position","plan_id":"p","cursor":"${cursor}"}\n\n`,
	)
	left.abort()
	await server.quiet()
})

test('a server with as many streams as it may hold answers 503 and when to retry', async () => {
	await using plan = await finished({ maxConnections: 1 })
	const left = new AbortController()
	await ask(plan.server, { follow: 'always' }, { signal: left.signal })
	const refused = await ask(plan.server, {})
	expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1'])
	expect(await refused.json()).toMatchObject({ code: 'too_many_connections', limit: 1 })
	left.abort()
	await plan.server.quiet()
	expect((await ask(plan.server, {})).status).toBe(200)
})

test('a stopping server ends the stream with end and closes its connection', async () => {
	await using server = await StreamServer.start()
	await server.publish('p', [STARTED])
	const response = await ask(server, {})
	const [socket] = server.sockets
	server.drain()
	expect(await response.text()).toMatch(
		/event: end\nid: \S+\ndata: \{"frame":"end",.*"reason":"draining","final_seq":1,"resume":true\}\n\n$/,
	)
	if (socket !== undefined && !socket.closed) await once(socket, 'close')
	expect((await ask(server, {})).status).toBe(503)
	await server.quiet()
})

test('a reader that stops reading for too long is disconnected', async () => {
	await using server = await StreamServer.start({ limits: { stallTimeoutMs: 200 } })
	await server.publish('p', [STARTED])
	const response = await ask(server, { follow: 'always' })
	const delta = 'x'.repeat(60_000)
	for (let round = 0; round < 20; round++) {
		const events = Array.from({ length: 16 }, (_, index) => ({
			event_type: 'step_output',
			step_id: 's',
			data: { channel: 'text', index: round * 16 + index, delta },
		}))
		await server.publish('p', events)
	}
	await server.quiet()
	expect(await response.text().catch(() => 'cut')).not.toContain('"seq":320,')
})
