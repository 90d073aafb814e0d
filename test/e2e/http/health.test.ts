import { createPlanstreamClient, type HealthUpdateEvent } from '@planstream/client'
import { PlanstreamError } from '@planstream/shared'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { WebSocket } from 'ws'
import { isolatedAgent } from '../../../server/src/agents/isolated/isolated-agent.js'
import { LOCAL_PRINCIPAL } from '../../../server/src/hub/principal.js'
import { MemoryLog } from '../../../server/src/log/memory.js'
import type { StepResult } from '../../../server/src/plans/agent.js'
import type { RunningServer } from '../../../server/src/server.js'
import { moduleUrl } from '../../support/agents/isolated/module-url.js'
import { post, sendRequest } from '../../support/http-request.js'
import { bearer, startKeyedServer } from '../../support/servers/keyed-server.js'
import { startTestServer } from '../../support/servers/test-server.js'
import { EVENT_READERS, type Received } from '../../support/streams/stream-readers.js'

const PROCESSES_MS = 60_000
const SYSTEM = { plan_id: 'system' } as const
const HISTORY = '/api/v1/streaming/plans/system/history'
const EVENT = { events: [{ event_type: 'error', data: { code: 'x', message: 'x' } }] }

afterEach(() => void vi.restoreAllMocks())

/** Has the store refuse what is new until it is told otherwise; what is kept in memory only goes on. */
function failingStore(code: 'storage_full' | 'storage_unavailable'): Disposable {
	const { append } = MemoryLog.prototype
	const failure = () => Promise.reject(new PlanstreamError(code, 'The disk is gone.'))
	vi.spyOn(MemoryLog.prototype, 'append').mockImplementation(function (this: MemoryLog, plan, ...rest) {
		return plan.plan_id === SYSTEM.plan_id ? append.call(this, plan, ...rest) : failure()
	})
	vi.spyOn(MemoryLog.prototype, 'probe').mockImplementation(failure)
	return { [Symbol.dispose]: () => void vi.restoreAllMocks() }
}

/** How a part was over time, as the history of the plan says. */
async function told(server: RunningServer, component: string): Promise<string[]> {
	const { body } = await sendRequest(server, HISTORY)
	const { events } = body as { events: HealthUpdateEvent[] }
	return events.filter(({ data }) => data.component === component).map(({ data }) => data.status)
}

const metrics = async (server: RunningServer) => (await sendRequest(server, '/metrics')).text
const plan = (agent_type: string, action: string, more = {}) => ({
	plan_id: 'p',
	query: 'q',
	steps: [{ step_id: 'a', agent_type, action, retry: { max_attempts: 1 }, ...more }],
})

describe('the health of the server', { timeout: PROCESSES_MS }, () => {
	it('is published on the plan system alike on every transport: first every component, then each change', async () => {
		await using server = await startTestServer()
		const parts = ['store', 'event_handlers', 'workers', 'agent:scripted', 'recovery']
		const page = () => server.hub.page(LOCAL_PRINCIPAL, 'system', { after: 'start', limit: 100, waiting: AbortSignal.abort() })
		await expect.poll(async () => (await page()).events.map(({ text }) => text).join()).toContain('"recovery"')
		const first = (await page()).events.length
		const reading = EVENT_READERS.map(async ([, read]) => {
			const items: Received[] = []
			for await (const received of read(server.url, SYSTEM)) {
				if ('event_type' in received.item) items.push(received)
				if (items.length === first + 2) break
			}
			return items
		})
		await expect.poll(() => server.report().watchers).toBeGreaterThanOrEqual(EVENT_READERS.length)
		{
			using _store = failingStore('storage_full')
			expect((await post(server, '/api/v1/streaming/plans/other/events', EVENT)).status).toBe(507)
			expect((await sendRequest(server, '/health/ready')).status).toBe(503)
			expect(await metrics(server)).toContain('planstream_health{component="store",status="degraded"} 1\n')
		}
		expect((await sendRequest(server, '/health/ready')).status).toBe(200)
		expect(await metrics(server)).toContain('planstream_health{component="store",status="ok"} 1\n')
		expect(await metrics(server)).toContain(
			'# HELP planstream_streams_slow_total Streams ended because their reader took nothing.\n# TYPE planstream_streams_slow_total counter\nplanstream_streams_slow_total 0\n',
		)
		const [items = [], ...others] = await Promise.all(reading)
		for (const other of others) expect(other.map(({ text }) => text)).toEqual(items.map(({ text }) => text))
		const changes = items.map(({ item }) => (item as HealthUpdateEvent).data)
		expect(changes.slice(0, first).map(({ component }) => component)).toEqual(expect.arrayContaining(parts))
		expect(new Set(changes.slice(0, first).map(({ status }) => status))).toEqual(new Set(['ok']))
		expect(changes.slice(first)).toMatchObject([
			{ component: 'store', status: 'degraded', detail: expect.stringContaining('full') },
			{ component: 'store', status: 'ok' },
		])
	})

	it.each(['websocket', 'sse'] as const)('is read with the client over %s like any plan', async (transport) => {
		await using server = await startTestServer()
		await using planstream = createPlanstreamClient({ url: server.url, transport, WebSocket })
		using _store = failingStore('storage_unavailable')
		await post(server, '/api/v1/streaming/plans/other/events', EVENT)
		for await (const event of planstream.plans.events(SYSTEM)) {
			if (event.event_type === 'health_update' && event.data.status === 'down') break
		}
		expect((await sendRequest(server, '/health/ready')).status).toBe(503)
	})

	it('reports that the process of an agent died, until one of its attempts returns a result', async () => {
		const module = moduleUrl('misbehaving')
		await using server = await startTestServer({ agents: [isolatedAgent({ type: 'misbehaving', module })] })
		await post(server, '/api/v1/plans', plan('misbehaving', 'exit'))
		await expect.poll(() => told(server, 'agent:misbehaving'), { timeout: PROCESSES_MS }).toEqual(['ok', 'degraded'])
		await post(server, '/api/v1/plans', { ...plan('misbehaving', 'flood'), plan_id: 'q' })
		await expect.poll(() => told(server, 'agent:misbehaving'), { timeout: PROCESSES_MS }).toEqual(['ok', 'degraded', 'ok'])
	})

	it('reports that agents ignore their signal, until they end', async () => {
		let resolve: (result: StepResult) => void = () => undefined
		const promise = new Promise<StepResult>((settle) => {
			resolve = settle
		})
		await using server = await startTestServer({ agents: [{ type: 'deaf', execute: () => promise }] })
		await post(server, '/api/v1/plans', plan('deaf', 'act', { timeout_ms: 10 }))
		await expect.poll(() => told(server, 'workers')).toEqual(['ok', 'degraded'])
		expect((await sendRequest(server, '/health/ready')).status).toBe(200)
		resolve({ data: {} })
		await expect.poll(() => told(server, 'workers')).toEqual(['ok', 'degraded', 'ok'])
	})

	it('reports that an event handler misses events, until it has caught up', async () => {
		await using server = await startTestServer()
		let resolve: () => void = () => undefined
		const promise = new Promise<void>((settle) => {
			resolve = settle
		})
		using _slow = server.hub.on('error', () => promise)
		const events = Array.from({ length: 10_100 }, () => ({ ...EVENT.events[0], step_id: null }) as never)
		await server.hub.publish(LOCAL_PRINCIPAL, { plan_id: 'p', events, sent: events })
		await expect.poll(() => told(server, 'event_handlers')).toEqual(['ok', 'degraded'])
		resolve()
		await expect.poll(() => told(server, 'event_handlers')).toEqual(['ok', 'degraded', 'ok'])
	})
})

describe('the plan system', () => {
	it('accepts no event or command, and is in no list', async () => {
		await using server = await startTestServer()
		const refused = [
			await post(server, '/api/v1/streaming/plans/system/events', EVENT),
			await post(server, '/api/v1/plans', { ...plan('scripted', 'act'), plan_id: 'system' }),
			await post(server, '/api/v1/plans/system/cancel'),
			await post(server, '/api/v1/plans/system/clone'),
			await sendRequest(server, '/api/v1/plans/system', { method: 'DELETE' }),
			await sendRequest(server, HISTORY, { method: 'DELETE' }),
		]
		for (const { status, text } of refused) expect([status, text]).toEqual([400, expect.stringContaining('reserved')])
		expect((await sendRequest(server, '/api/v1/plans')).body).toMatchObject({ plans: [] })
	})

	it('is readable by every tenant with plans:read only', async () => {
		await using server = await startKeyedServer({
			reader: { tenant: 'a', scopes: ['plans:read'] },
			other: { tenant: 'b', scopes: ['plans:read'] },
			writer: { tenant: 'a', scopes: ['plans:write'] },
		})
		const { reader, other, writer } = server.keys
		const mine = await sendRequest(server, HISTORY, { headers: bearer(reader) })
		expect(mine.status).toBe(200)
		expect((await sendRequest(server, HISTORY, { headers: bearer(other) })).text).toBe(mine.text)
		expect((await sendRequest(server, HISTORY, { headers: bearer(writer) })).status).toBe(403)
		expect((await sendRequest(server, '/metrics', { headers: bearer(reader) })).status).toBe(403)
	})
})
