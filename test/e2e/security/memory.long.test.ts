import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import type { PlanSummary } from '@planstream/shared'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import type { LogRecord } from '../../../server/src/log/event-log.js'
import { openLog } from '../../../server/src/log/open.js'
import { AttackedServer } from '../../support/servers/attacked-server.js'
import { bearer } from '../../support/servers/keyed-server.js'

const SCALE = Number(process.env.PLANSTREAM_TEST_SCALE ?? 1)
const scaled = (count: number): number => Math.ceil(count * SCALE)

const TENANT = 'acme'
const TIME = '2026-01-01T00:00:00.000Z'
/** The longest legal text. */
const LONGEST = 65_536
/** Plans at the limit of their state, of 8 MiB. */
const FULL_PLANS = 30
const FULL_STEPS = 127
const LISTED_PLANS = scaled(1000)
/** Rounds of the other tenant during which nobody takes anything. */
const ROUNDS = 30

let server: AttackedServer
beforeAll(async () => {
	server = await AttackedServer.start(fill)
}, 300_000)
afterAll(() => server[Symbol.asyncDispose]())

/** Writes plans straight into the store, below the checks of the server. */
async function fill(directory: string): Promise<void> {
	await using log = Object.assign(await openLog({ kind: 'sqlite', directory }), {
		[Symbol.asyncDispose]: () => log.close(),
	})
	const append = async (plan_id: string, records: LogRecord[], query = 'q') => {
		for (let at = 0; at < records.length; at += 16) {
			await log.append({ tenant: TENANT, plan_id }, records.slice(at, at + 16), { summary: summarise(plan_id, query) })
		}
	}
	const started = (name: string) => (_: unknown, step: number) => record('step_started', `s${step}`, { name })
	const delta = 'x'.repeat(60_000)
	await append(
		'big',
		Array.from({ length: 140 }, (_, index) => record('step_output', 's', { channel: 'text', index, delta })),
	)
	for (let plan = 0; plan < FULL_PLANS; plan++) {
		await append(`full-${plan}`, Array.from({ length: FULL_STEPS }, started('n'.repeat(LONGEST))))
	}
	await append('huge', Array.from({ length: 520 }, started('n'.repeat(1_040_000))))
	const query = 'q'.repeat(LONGEST)
	for (let plan = 0; plan < LISTED_PLANS; plan++) {
		await append(`listed-${plan}`, [record('plan_started', null, { query, total_steps: 1 })], query)
	}
}

let events = 0
function record(event_type: string, step_id: string | null, data: object): LogRecord {
	const event_id = `e${events++}`
	const text = JSON.stringify({ event_id, event_type, step_id, data, timestamp: TIME, actor: { type: 'user', id: 'x' } })
	return { event_id, text, sent_digest: '', transient: event_type === 'step_output' }
}

function summarise(plan_id: string, query: string): PlanSummary {
	const times = { created_at: TIME, started_at: TIME, finished_at: null, updated_at: new Date().toISOString() }
	return { plan_id, owner: 'external', status: 'running', finished: false, query, labels: {}, revision: 0, progress: 0, ...times }
}

const history = { path: 'plans.history', input: { plan_id: 'big' } }
const subscription = { path: 'plans.events', input: { plan_id: 'big' } }

/** Opens a connection that takes nothing. */
async function openStalled(): Promise<Socket & Disposable> {
	const socket = connect(server.port, '127.0.0.1')
	socket.on('error', () => undefined)
	await once(socket, 'connect')
	socket.pause()
	return Object.assign(socket, { [Symbol.dispose]: () => socket.destroy() })
}

const request = (path: string) =>
	`GET ${path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${server.keys.attacker}\r\n\r\n`

async function openTrpcSocket(): Promise<WebSocket & Disposable> {
	const socket = new WebSocket(`${server.url.replace('http', 'ws')}/trpc`, { headers: bearer(server.keys.attacker) })
	socket.on('error', () => undefined)
	await once(socket, 'open')
	return Object.assign(socket, { [Symbol.dispose]: () => socket.terminate() })
}

/** Counts the bytes of a response without keeping them. */
async function countBytes(response: Response): Promise<number> {
	let bytes = 0
	for await (const chunk of response.body ?? []) bytes += (chunk as Uint8Array).length
	return bytes
}

/** Counts the bytes of an answer, and asks again while the server is overloaded, as the SDK does. */
async function countWhenServed(address: string): Promise<number> {
	for (;;) {
		const response = await server.fetch(address)
		if (response.status === 200) return countBytes(response)
		expect(await response.json()).toMatchObject({ status: 503, code: 'overloaded' })
	}
}

const isServed = async () => expect((await server.fetch('/api/v1/streaming/plans/big/history?limit=1')).status).toBe(200)

describe('A server with a heap of 1 GB keeps its memory and another tenant its events', () => {
	it('while 12 batches of 100 pages each are asked for at once', async () => {
		const input = JSON.stringify(Object.fromEntries(Array.from({ length: 100 }, (_, index) => [index, history.input])))
		const address = `/trpc/${Array(100).fill(history.path).join(',')}?batch=1&input=${encodeURIComponent(input)}`
		await server.withstand(async () => {
			const batches = Array.from({ length: scaled(12) }, async () => countBytes(await server.fetch(address)))
			for (const bytes of await Promise.all(batches)) expect(bytes).toBeGreaterThan(4_000_000)
		})
		await isServed()
	})

	it('while 500 pipelined requests for pages are sent and no answer is taken', async () => {
		await server.withstand(async (rounds) => {
			using socket = await openStalled()
			socket.write(request('/api/v1/streaming/plans/big/history').repeat(scaled(500)))
			await rounds(ROUNDS)
		})
		await isServed()
	})

	it('while one WebSocket frame asks for 100 pages, which all come once they are taken', async () => {
		await server.withstand(async (rounds) => {
			using socket = await openTrpcSocket()
			socket.pause()
			const calls = Array.from({ length: 100 }, (_, id) => ({ id, method: 'query', params: history }))
			socket.send(JSON.stringify(calls))
			await rounds(ROUNDS)
			const ids = new Set<string | undefined>()
			socket.on('message', (data: Buffer) => ids.add(/^\{"id":(\d+),"result"/.exec(data.toString('latin1', 0, 40))?.[1]))
			socket.resume()
			await expect.poll(() => ids.size, { timeout: 60_000 }).toBe(100)
			expect(ids.has(undefined)).toBe(false)
		})
		await isServed()
	})

	it('while 100 subscriptions on one WebSocket take nothing', async () => {
		await server.withstand(async (rounds) => {
			using socket = await openTrpcSocket()
			socket.pause()
			const calls = Array.from({ length: 100 }, (_, id) => ({ id, method: 'subscription', params: subscription }))
			socket.send(JSON.stringify(calls))
			await rounds(ROUNDS)
		})
		await isServed()
	})

	it('while 100 streams of server-sent events take nothing', async () => {
		await server.withstand(async (rounds) => {
			const sockets = await Promise.all(Array.from({ length: scaled(100) }, openStalled))
			for (const socket of sockets) socket.write(request('/api/v1/streaming/plans/big/events'))
			await rounds(ROUNDS)
			for (const socket of sockets) socket.destroy()
		})
		await isServed()
	})

	it(`while a list of ${LISTED_PLANS} plans with the longest queries is asked for by 20 readers at once`, async () => {
		await server.withstand(async () => {
			const lists = Array.from({ length: 20 }, async () => {
				const { plans } = (await (await server.fetch(`/api/v1/plans?limit=1000&query=qq`)).json()) as { plans: PlanSummary[] }
				return plans.map(({ query }) => query.length)
			})
			for (const lengths of await Promise.all(lists)) expect(lengths).toEqual(Array(Math.min(LISTED_PLANS, 1000)).fill(256))
		})
	})

	it(`while ${FULL_PLANS} plans at the limit of their state are read at once, over HTTP and as snapshots`, async () => {
		await server.withstand(async () => {
			const plans = Array.from({ length: FULL_PLANS }, (_, plan) => `full-${plan}`)
			const states = plans.map((plan) => countWhenServed(`/api/v1/plans/${plan}`))
			for (const bytes of await Promise.all(states)) expect(bytes).toBeGreaterThan(FULL_STEPS * LONGEST)
			const query = 'after=now&snapshot=true&close_after_ms=2000'
			const snapshots = plans.map((plan) => countWhenServed(`/api/v1/streaming/plans/${plan}/events?${query}`))
			for (const bytes of await Promise.all(snapshots)) expect(bytes).toBeGreaterThan(FULL_STEPS * LONGEST)
		})
	})

	it('while a plan is read whose state of 512 MiB was stored without limits, which gives a typed error', async () => {
		await server.withstand(async () => {
			const input = encodeURIComponent(JSON.stringify({ plan_id: 'huge' }))
			const addresses = [
				'/api/v1/plans/huge',
				`/trpc/plans.get?input=${input}`,
				'/api/v1/streaming/plans/huge/events?after=now&snapshot=true',
			]
			for (const address of [...addresses, ...addresses])
				expect(await (await server.fetch(address)).text()).toContain('too_large')
			const page = (await (await server.fetch('/api/v1/streaming/plans/huge/history?after=519')).json()) as { head_seq: number }
			expect(page.head_seq).toBe(520)
		})
	})
})
