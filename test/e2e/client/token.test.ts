import { createPlanstreamClient, type PlanstreamClientOptions, PlanstreamError } from '@planstream/client'
import { SCOPES } from '@planstream/shared/schemas'
import { expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { startKeyedServer } from '../../support/servers/keyed-server.js'

const TRANSPORTS = ['sse', 'websocket'] as const
const all = { tenant: 'acme', scopes: SCOPES }
const started = { event_type: 'plan_started', data: { query: 'q', total_steps: 1 } } as const
const completed = { event_type: 'plan_completed', data: {} } as const

it.each(TRANSPORTS)(
	'a client on %s continues with a new key when its first one is revoked, and asks for a key each time',
	async (transport) => {
		await using server = await startKeyedServer({ first: all, second: all })
		await using producer = createPlanstreamClient({ url: server.url, token: server.keys.second })
		await producer.events.publish({ plan_id: 'p', events: [started] })
		let current: 'first' | 'second' = 'first'
		const asked: string[] = []
		const token = async () => {
			asked.push(current)
			return await Promise.resolve(server.keys[current])
		}
		await using planstream = createPlanstreamClient({ url: server.url, token, transport, WebSocket, backoff: { initialMs: 0 } })
		expect((await planstream.plans.get({ plan_id: 'p' })).status).toBe('running')
		const seen: string[] = []
		const change = async (): Promise<void> => {
			current = 'second'
			await server.revoke('first')
			await expect.poll(() => asked.at(-1), { timeout: 10_000 }).toBe('second')
			await producer.events.publish({ plan_id: 'p', events: [completed] })
		}
		let changed: Promise<void> | null = null
		for await (const event of planstream.plans.events({ plan_id: 'p' })) {
			seen.push(event.event_type)
			changed ??= change()
		}
		await changed
		expect(seen).toEqual(['plan_started', 'plan_completed'])
		expect(asked).toEqual(['first', 'first', 'second'])
	},
)

it.each(TRANSPORTS)('a client on %s throws when its key has expired, and does not reconnect forever', async (transport) => {
	await using server = await startKeyedServer({ only: all, other: all })
	await using producer = createPlanstreamClient({ url: server.url, token: server.keys.other })
	await producer.events.publish({ plan_id: 'p', events: [started] })
	await using planstream = createPlanstreamClient({
		url: server.url,
		token: server.keys.only,
		transport,
		WebSocket,
		backoff: { initialMs: 0 },
	})
	const follow = async () => {
		for await (const event of planstream.plans.events({ plan_id: 'p' })) {
			expect(event.event_type).toBe('plan_started')
			await server.revoke('only')
		}
	}
	await expect(follow()).rejects.toMatchObject({ code: 'unauthorized' })
	await expect(planstream.plans.list()).rejects.toMatchObject({ code: 'unauthorized' })
})

it.each(TRANSPORTS)(
	'a client on %s asks once for another key when its key expires, and throws when it is refused, too',
	async (transport) => {
		await using server = await startKeyedServer({ good: all })
		const { good } = server.keys
		const keys = ['over', good, 'over', good, 'over', 'over', 'over', 'over']
		const token = () => keys.shift() ?? fail()
		await using planstream = createPlanstreamClient({ url: server.url, token, transport, WebSocket, backoff: { initialMs: 0 } })
		expect(await planstream.plans.list()).toMatchObject({ plans: [] })
		const abort = new AbortController()
		const { signal } = abort
		for await (const _ of planstream.plans.events({ plan_id: 'p' }, { signal, onReady: () => abort.abort() }))
			expect.fail('no event')
		expect(keys).toEqual(['over', 'over', 'over', 'over'])
		await expect(planstream.plans.list()).rejects.toMatchObject({ code: 'unauthorized' })
		await expect(planstream.plans.events({ plan_id: 'p' }).next()).rejects.toMatchObject({ code: 'unauthorized' })
		expect(keys).toEqual([])
	},
)

it.each(['auto', ...TRANSPORTS] as const)('a client on %s throws at once when it has no key', async (transport) => {
	await using server = await startKeyedServer({ only: all })
	await using planstream = createPlanstreamClient({ url: server.url, transport, WebSocket })
	const events = planstream.plans.events({ plan_id: 'p' })
	await expect(events.next()).rejects.toMatchObject({ code: 'unauthorized' })
})

it.each(TRANSPORTS)(
	'a client on %s calls its token function again when it fails, except for a PlanstreamError',
	async (transport) => {
		await using server = await startKeyedServer({ only: all })
		const answers: (() => string)[] = [
			() => fail(new Error('offline')),
			() => server.keys.only,
			() => fail(new PlanstreamError('unauthorized', 'Log in first.')),
		]
		const options: PlanstreamClientOptions = {
			url: server.url,
			token: () => (answers.shift() ?? fail)(),
			transport,
			WebSocket,
			backoff: { initialMs: 0 },
		}
		await using planstream = createPlanstreamClient(options)
		const waited: string[] = []
		planstream.onConnection(({ state, error }) => state === 'reconnecting' && waited.push(error?.message ?? ''))
		const abort = new AbortController()
		const signal = abort.signal
		for await (const _ of planstream.plans.events({ plan_id: 'p' }, { signal, onReady: () => abort.abort() }))
			expect.fail('no event')
		expect(waited).toEqual(['Could not get a token: offline'])
		expect(planstream.connection.transport).toBe(transport)
		await expect(planstream.plans.events({ plan_id: 'p' }).next()).rejects.toThrow('Log in first.')
		await expect(createPlanstreamClient({ ...options, token: () => fail(new Error('offline')) }).plans.list()).rejects.toThrow(
			'offline',
		)
	},
)

it.each(TRANSPORTS)('a loop on %s ends while its token is awaited', async (transport) => {
	const abort = new AbortController()
	const token = () => {
		setImmediate(() => abort.abort())
		return new Promise<string>(() => {})
	}
	await using planstream = createPlanstreamClient({ url: 'http://localhost:1', token, transport, WebSocket })
	for await (const _ of planstream.plans.events({ plan_id: 'p' }, { signal: abort.signal })) expect.fail('no event')
})

it('a token is refused without being shown when no header can carry it', () => {
	for (const token of ['', 'se cret', 'secret\n']) {
		expect(() => createPlanstreamClient({ url: 'http://localhost:1', token })).toThrow(
			/^token is empty or has invalid characters/,
		)
	}
})

function fail(error: Error = new Error('asked too often')): never {
	throw error
}
