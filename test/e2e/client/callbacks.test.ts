import { createPlanstreamClient, PlanstreamError } from '@planstream/client'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { WebSocket } from 'ws'
import { startKeyedServer } from '../../support/servers/keyed-server.js'
import { startTestServer } from '../../support/servers/test-server.js'

const started = { event_type: 'plan_started', data: { query: 'q', total_steps: 1 } } as const
const completed = { event_type: 'plan_completed', data: {} } as const

/** Collects the errors that a page would report as uncaught. */
function collectReports(): unknown[] {
	const reported: unknown[] = []
	vi.stubGlobal('reportError', (error: unknown) => void reported.push(error))
	return reported
}

afterEach(() => void vi.unstubAllGlobals())

describe('a callback that throws', () => {
	it('ends no loop as a listener of the connection, and the other listeners hear of each change', async () => {
		const reported = collectReports()
		await using server = await startTestServer()
		await using planstream = createPlanstreamClient({ url: server.url, transport: 'sse' })
		await planstream.events.publish({ plan_id: 'p', events: [started, completed] })
		const failure = new Error('a listener of the page')
		const states: string[] = []
		planstream.onConnection(() => {
			throw failure
		})
		planstream.onConnection(({ state }) => states.push(state))
		const seen: string[] = []
		for await (const { event_type } of planstream.plans.events({ plan_id: 'p' })) seen.push(event_type)
		expect(seen).toEqual(['plan_started', 'plan_completed'])
		expect(states).toEqual(['connecting', 'open', 'idle'])
		expect(reported).toEqual([failure, failure, failure])
	})

	it('is reported by the runtime where there is no reportError', async () => {
		vi.stubGlobal('reportError', undefined)
		const later: (() => void)[] = []
		vi.stubGlobal('queueMicrotask', (run: () => void) => void later.push(run))
		const planstream = createPlanstreamClient({ url: 'http://127.0.0.1:9' })
		planstream.onConnection(() => {
			throw new Error('a listener of the page')
		})
		await planstream.close()
		expect(later).toHaveLength(1)
		expect(later[0]).toThrow('a listener of the page')
	})

	it('loses no event as onRetry of a publisher', async () => {
		const reported = collectReports()
		await using server = await startTestServer()
		let refusals = 2
		const flaky: typeof fetch = (input, init) => (refusals-- > 0 ? Promise.reject(new TypeError('offline')) : fetch(input, init))
		await using planstream = createPlanstreamClient({ url: server.url, fetch: flaky, backoff: { initialMs: 0 } })
		const failure = new Error('a callback of the page')
		const onRetry = () => {
			throw failure
		}
		const publisher = planstream.publisher('p', { onRetry })
		const { stored } = await publisher.planStarted('q', 1)
		await publisher.close()
		expect(await stored).toMatchObject({ seq: 1 })
		expect(reported).toEqual([failure, failure])
	})

	it('ends its own loop alone as onEvent or onReady, and is what the loop throws', async () => {
		await using server = await startTestServer()
		let asked = 0
		const token = () => `key_${++asked}`
		await using planstream = createPlanstreamClient({ url: server.url, transport: 'websocket', WebSocket, token })
		await planstream.events.publish({ plan_id: 'p', events: [started] })
		const other = planstream.plans.events({ plan_id: 'p' })
		await other.next()
		const failure = new PlanstreamError('unauthorized', 'A callback of the page.')
		const fail = () => {
			throw failure
		}
		await expect(planstream.plans.watch('p', { from: 'start', onEvent: fail }).next()).rejects.toBe(failure)
		await expect(planstream.plans.events({ plan_id: 'p' }, { onReady: fail }).next()).rejects.toBe(failure)
		const next = other.next()
		await planstream.events.publish({ plan_id: 'p', events: [completed] })
		expect(await next).toMatchObject({ value: completed })
	})
})

it('a listener that closes the client keeps the others from hearing of what came before', async () => {
	const planstream = createPlanstreamClient({ url: 'http://127.0.0.1:9', transport: 'sse' })
	const states: string[] = []
	planstream.onConnection(() => void planstream.close())
	planstream.onConnection(({ state }) => states.push(state))
	for await (const _ of planstream.plans.events({ plan_id: 'p' })) expect.fail('no event')
	expect(states).toEqual(['closed'])
})

describe('a token function', () => {
	it.each(['sse', 'websocket', 'poll'] as const)('is refused on %s when it gives no text', async (transport) => {
		const token = () => undefined as unknown as string
		await using planstream = createPlanstreamClient({ url: 'http://127.0.0.1:9', token, transport, WebSocket })
		const refusal = { code: 'bad_request', facts: { path: 'token' } }
		await expect(planstream.plans.events({ plan_id: 'p' }).next()).rejects.toMatchObject(refusal)
		await expect(planstream.plans.list()).rejects.toMatchObject(refusal)
	})

	it('is asked again by a publisher when it fails', async () => {
		await using server = await startKeyedServer({ only: { tenant: 'acme', scopes: ['plans:read', 'events:publish'] } })
		let failures = 2
		const token = (): string => {
			if (failures-- > 0) throw new Error('offline')
			return server.keys.only
		}
		await using planstream = createPlanstreamClient({ url: server.url, token, backoff: { initialMs: 0 } })
		const retried: string[] = []
		const publisher = planstream.publisher('p', { onRetry: ({ message }) => retried.push(message) })
		await publisher.planStarted('q', 1)
		await publisher.close()
		expect(retried).toEqual(['Could not get a token: offline', 'Could not get a token: offline'])
	})

	it('holds no call whose signal aborts when it never answers', async () => {
		await using planstream = createPlanstreamClient({ url: 'http://127.0.0.1:9', token: () => new Promise<string>(() => {}) })
		const abort = new AbortController()
		const listed = planstream.plans.list({}, { signal: abort.signal })
		abort.abort(new Error('enough'))
		await expect(listed).rejects.toThrow('enough')
	})
})

describe('a WebSocket class that throws', () => {
	it.each([false, true])('leads to server-sent events (with a token: %s)', async (keyed) => {
		await using server = await startTestServer()
		class Refusing {
			constructor(_: string) {
				throw new Error('not in this page')
			}
		}
		const options = keyed ? { token: () => 'key' } : {}
		await using planstream = createPlanstreamClient({ url: server.url, WebSocket: Refusing as never, ...options })
		await planstream.events.publish({ plan_id: 'p', events: [started, completed] })
		const seen: string[] = []
		for await (const { event_type } of planstream.plans.events({ plan_id: 'p' })) seen.push(event_type)
		expect(seen).toEqual(['plan_started', 'plan_completed'])
		expect(planstream.connection.transport).toBe('sse')
	})
})
