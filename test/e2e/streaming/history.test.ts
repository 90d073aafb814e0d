import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { gunzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { LOCAL_PRINCIPAL } from '../../../server/src/hub/principal.js'
import { StreamServer } from '../../support/servers/stream-server.js'

const STARTED = { event_type: 'plan_started', data: { query: 'Which?', total_steps: 1 } }
const COMPLETED = {
	event_type: 'plan_completed',
	data: { result: { b: 'Ω "that"\n\u2028\ud800', 10: 1e-7, 2: -0, a: [0.1, 1e21] } },
}

function output(index: number): Record<string, unknown> {
	return { event_type: 'step_output', step_id: 's', data: { channel: 'text', index, delta: 'ä€😀' } }
}

/** A page as it goes over the wire. */
async function wire(server: StreamServer, encoding: string) {
	const outgoing = request(`${server.url}/api/v1/streaming/plans/p/history`, { headers: { 'accept-encoding': encoding } })
	const [incoming] = (await once(outgoing.end(), 'response')) as [IncomingMessage]
	return { headers: incoming.headers, body: await buffer(incoming) }
}

async function ask(server: StreamServer, query: Record<string, string>, plan_id = 'p', init: RequestInit = {}) {
	const address = `${server.url}/api/v1/streaming/plans/${plan_id}/history?${new URLSearchParams(query)}`
	const answer = await fetch(address, init)
	const text = await answer.text()
	return { status: answer.status, text, body: JSON.parse(text) as Record<string, unknown> }
}

test('a page is compressed when the client asks for it, with the same content', async () => {
	await using server = await StreamServer.start()
	await server.publish('p', [STARTED, ...Array.from({ length: 100 }, (_, index) => output(index))])
	const plain = await wire(server, 'identity')
	const packed = await wire(server, 'gzip')
	expect(plain.headers['content-encoding']).toBeUndefined()
	expect(packed.headers).toMatchObject({ 'content-encoding': 'gzip', vary: expect.stringMatching(/accept-encoding/i) })
	expect(packed.body.length).toBeLessThan(plain.body.length / 4)
	expect(gunzipSync(packed.body)).toEqual(plain.body)
	await server.quiet()
})

test('pages hold the stored texts, byte for byte, and lead from one to the next', async () => {
	await using server = await StreamServer.start()
	await server.publish('p', [STARTED, output(0), output(1)])
	const { cursor } = await server.publish('p', [COMPLETED])
	const texts = await server.texts('p')
	const first = await ask(server, { limit: '3' })
	const { next_cursor } = first.body
	expect(first.text).toBe(
		`{"plan_id":"p","event_count":3,"events":[${texts.slice(0, 3)}],"next_cursor":"${next_cursor}","head_seq":4,"finished":false}`,
	)
	const second = await ask(server, { limit: '3', after: String(next_cursor) })
	expect(second.text).toBe(
		`{"plan_id":"p","event_count":1,"events":[${texts[3]}],"next_cursor":"${cursor}","head_seq":4,"finished":true}`,
	)
	const end = { plan_id: 'p', event_count: 0, events: [], next_cursor: cursor, head_seq: 4, finished: true }
	expect((await ask(server, { after: cursor, wait_ms: '60000' })).body).toEqual(end)
	expect((await ask(server, { after: 'now', wait_ms: '60000' })).body).toEqual(end)
	expect((await ask(server, { after: '3' })).body).toMatchObject({ event_count: 1, finished: true })
	await server.quiet()
})

test('an unknown plan has an empty history, and can be awaited', async () => {
	await using server = await StreamServer.start()
	const empty = { plan_id: 'p', event_count: 0, events: [], next_cursor: '0', head_seq: 0, finished: false }
	for (const after of ['start', 'now', '0']) expect(await ask(server, { after })).toMatchObject({ status: 200, body: empty })
	const waiting = ['start', 'now', '0'].map((after) => ask(server, { after, wait_ms: '60000' }))
	await server.until(() => server.watchers, 3)
	await server.publish('p', [STARTED])
	for (const answer of waiting)
		expect((await answer).body).toMatchObject({ event_count: 1, next_cursor: /^.+\.1\./, head_seq: 1 })
	await server.quiet()
})

test('a wait ends when its time is over, when the server stops and when the client leaves', async () => {
	await using server = await StreamServer.start()
	const { cursor } = await server.publish('p', [STARTED])
	const nothing = { status: 200, body: { event_count: 0, next_cursor: cursor, finished: false } }
	expect(await ask(server, { after: cursor, wait_ms: '20' })).toMatchObject(nothing)
	const left = new AbortController()
	const leaving = ask(server, { after: cursor, wait_ms: '60000' }, 'p', { signal: left.signal })
	await server.until(() => server.watchers, 1)
	left.abort()
	await expect(leaving).rejects.toThrow()
	await server.until(() => server.watchers, 0)
	const waiting = ask(server, { after: cursor, wait_ms: '60000' })
	await server.until(() => server.watchers, 1)
	server.drain()
	expect(await waiting).toMatchObject(nothing)
	await server.quiet()
})

test('a position without events is answered by 410 and where to continue', async () => {
	await using server = await StreamServer.start()
	const { cursor: first } = await server.publish('p', [STARTED])
	const { cursor: third } = await server.publish('p', [output(0), output(1)])
	const { cursor: other } = await server.publish('q', [STARTED])
	const [epoch = '', , fingerprint = ''] = third.split('.')
	await server.hub.trim({ tenant: LOCAL_PRINCIPAL.tenant, plan_id: 'p' }, 4)
	const { cursor: fourth } = await server.publish('p', [output(2)])
	const gone: Record<string, string> = {
		[first]: 'trimmed',
		'2': 'trimmed',
		'0': 'trimmed',
		'9': 'rewind',
		[other]: 'epoch',
		[`${epoch}.3.${fingerprint.replace(/./, (digit) => (digit === '0' ? '1' : '0'))}`]: 'fork',
	}
	for (const [after, reason] of Object.entries(gone)) {
		const facts = { code: 'cursor_gone', reason, oldest_seq: 4, resume_after: third }
		expect(await ask(server, { after })).toMatchObject({ status: 410, body: facts })
	}
	for (const after of ['start', '3', third]) {
		expect(await ask(server, { after })).toMatchObject({ status: 200, body: { event_count: 1, next_cursor: fourth } })
	}
	const unknown = { code: 'cursor_gone', oldest_seq: 1, resume_after: '0' }
	for (const after of ['1', first]) expect(await ask(server, { after }, 'unknown')).toMatchObject({ status: 410, body: unknown })
	expect(await ask(server, { after: 'nonsense' })).toMatchObject({ status: 400, body: { code: 'bad_request', path: 'after' } })
})

test.each([
	['limit', '0'],
	['limit', '1001'],
	['wait_ms', '60001'],
	['wait_ms', '-1'],
	['event_types', 'error'],
])('%s=%s is refused by its name', async (name, value) => {
	await using server = await StreamServer.start()
	expect(await ask(server, { [name]: value })).toMatchObject({ status: 400, body: { code: 'bad_request', path: name } })
})

test('a plan of another tenant is an unknown plan', async () => {
	await using server = await StreamServer.start()
	await server.publish('p', [STARTED])
	const stranger = { ...LOCAL_PRINCIPAL, tenant: 'other' }
	const waiting = AbortSignal.abort()
	const page = await server.hub.page(stranger, 'p', { after: 'start', limit: 10, waiting })
	expect(page).toEqual(await server.hub.page(stranger, 'unknown', { after: 'start', limit: 10, waiting }))
})
