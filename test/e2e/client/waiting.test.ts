import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type Clock, createPlanstreamClient, type Planstream } from '@planstream/client'
import { describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { startTestServer } from '../../support/servers/test-server.js'

const CONNECT_MS = 10_000
const SILENCE_MS = 37_500

/** Creates a clock that records how long is waited for another attempt, and then waits not at all. */
function createImpatientClock(): Clock & { readonly waits: readonly number[] } {
	const waits: number[] = []
	return {
		waits,
		now: () => 0,
		after: (ms, run) => {
			if (ms === CONNECT_MS || ms === SILENCE_MS) return () => {}
			if (ms > 0) waits.push(ms)
			const timer = setImmediate(run)
			return () => clearImmediate(timer)
		},
	}
}

/** Starts something that refuses the first request and then answers each with what ends it. */
async function startBusyProxy(status: number, headers: Readonly<Record<string, string>>, body = '<h1>busy</h1>') {
	let asked = 0
	const server = createServer((request, response) => {
		request.resume()
		asked++
		if (asked === 1) response.writeHead(status, { 'content-type': 'text/html', ...headers }).end(body)
		else response.writeHead(404, { 'content-type': 'text/html' }).end('gone')
	})
	await once(server.listen(0, '127.0.0.1'), 'listening')
	return {
		url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
		asked: () => asked,
		[Symbol.asyncDispose]: async () => {
			server.closeAllConnections()
			server.close()
			await once(server, 'close')
		},
	}
}

const uses = {
	sse: ({ plans }: Planstream) => plans.events({ plan_id: 'p' }).next(),
	poll: ({ plans }: Planstream) => plans.events({ plan_id: 'p' }).next(),
	query: ({ plans }: Planstream) => plans.list(),
	command: ({ plans }: Planstream) => plans.pause({ plan_id: 'p', idempotency_key: 'k' }),
	publisher: async (planstream: Planstream) => {
		const publisher = planstream.publisher('p')
		await publisher.planStarted('q', 1)
		await publisher.flush()
	},
} as const

const problem = JSON.stringify({ type: 'urn:planstream:draining', title: 't', status: 503, detail: 'd', code: 'draining' })
const dates = { date: 'Tue, 01 Dec 2026 10:00:00 GMT', 'retry-after': 'Tue, 01 Dec 2026 10:00:07 GMT' }
const answers = [
	['503 of a proxy with seconds', 503, { 'retry-after': '4' }, undefined, 4000],
	['429 of a proxy with seconds', 429, { 'retry-after': '4' }, undefined, 4000],
	['502 of a proxy with a date', 502, dates, undefined, 7000],
	['problem without a delay of its own', 503, { 'retry-after': '4', 'content-type': 'application/problem+json' }, problem, 4000],
] as const

describe.each(Object.entries(uses))('the header Retry-After, for %s,', (name, use) => {
	it.each(answers)('is obeyed in a %s', async (_, status, headers, body, waited) => {
		await using proxy = await startBusyProxy(status, headers, body)
		const clock = createImpatientClock()
		const transport = name === 'poll' ? 'poll' : 'sse'
		await using planstream = createPlanstreamClient({ url: proxy.url, transport, clock, backoff: { initialMs: 0 } })
		await expect(use(planstream)).rejects.toMatchObject({ code: 'not_found' })
		expect([clock.waits, proxy.asked()]).toEqual([[waited], 2])
	})
})

it.each(['sse', 'publisher'] as const)('delays %s by five minutes at most', async (name) => {
	await using proxy = await startBusyProxy(503, { 'retry-after': '86400' })
	const clock = createImpatientClock()
	await using planstream = createPlanstreamClient({ url: proxy.url, transport: 'sse', clock, backoff: { initialMs: 0 } })
	await expect(uses[name](planstream)).rejects.toMatchObject({ code: 'not_found' })
	expect(clock.waits).toEqual([300_000])
})

it('makes a call fail at once, with the delay, when it asks for more than half a minute', async () => {
	await using proxy = await startBusyProxy(503, { 'retry-after': '31' })
	const clock = createImpatientClock()
	await using planstream = createPlanstreamClient({ url: proxy.url, clock })
	const failure = { code: 'unreachable', facts: { retry_after_ms: 31_000 } }
	await expect(planstream.plans.list()).rejects.toMatchObject(failure)
	expect([clock.waits, proxy.asked()]).toEqual([[], 1])
})

it.each(['soon', '-4', '', 'Tue, 01 Dec 2020 10:00:00 GMT'])('sets no delay when it is "%s"', async (text) => {
	await using proxy = await startBusyProxy(503, { 'retry-after': text })
	const clock = createImpatientClock()
	await using planstream = createPlanstreamClient({ url: proxy.url, transport: 'sse', clock, backoff: { initialMs: 0 } })
	await expect(uses.sse(planstream)).rejects.toMatchObject({ code: 'not_found' })
	expect(clock.waits).toEqual([])
})

describe.each(['sse', 'websocket', 'poll'] as const)('a client on %s', (transport) => {
	it.each([
		{ heartbeatMs: 1e9 },
		{ heartbeatMs: Number.POSITIVE_INFINITY },
		{ connectTimeoutMs: 3e9 },
		{ connectTimeoutMs: Number.POSITIVE_INFINITY },
	])('waits as long as a timer can with %o, and keeps a working connection', async (option) => {
		await using server = await startTestServer()
		await using planstream = createPlanstreamClient({ url: server.url, transport, WebSocket, ...option })
		await planstream.events.publish({
			plan_id: 'p',
			events: [{ event_type: 'plan_started', data: { query: 'q', total_steps: 1 } }],
		})
		const states: string[] = []
		planstream.onConnection(({ state }) => states.push(state))
		const seen: string[] = []
		for await (const { event_type } of planstream.plans.events({ plan_id: 'p' })) {
			seen.push(event_type)
			if (seen.length > 1) continue
			await planstream.plans.history({ plan_id: 'p', after: 'now', wait_ms: 50 })
			await planstream.events.publish({ plan_id: 'p', events: [{ event_type: 'plan_completed', data: {} }] })
		}
		expect([seen, states]).toEqual([
			['plan_started', 'plan_completed'],
			['connecting', 'open', 'idle'],
		])
	})
})

it("asks a clock of the application for no delay above that of a runtime's timers", async () => {
	await using proxy = await startBusyProxy(503, {})
	const asked: number[] = []
	const clock: Clock = {
		now: () => 0,
		after: (ms, run) => {
			asked.push(ms)
			if (asked.length > 1) return () => {} // the other delays end with what they limit
			const timer = setImmediate(run)
			return () => clearImmediate(timer)
		},
	}
	const backoff = { initialMs: 1e12, maxMs: Number.POSITIVE_INFINITY }
	const endless = { heartbeatMs: 1e12, connectTimeoutMs: Number.POSITIVE_INFINITY, backoff, random: () => 0.999 }
	await using planstream = createPlanstreamClient({ url: proxy.url, transport: 'sse', clock, ...endless })
	await expect(uses.query(planstream)).rejects.toMatchObject({ code: 'not_found' })
	await expect(uses.sse(planstream)).rejects.toMatchObject({ code: 'not_found' })
	const longest = 2 ** 31 - 1
	expect(asked).toEqual([longest * 0.999, longest])
})
