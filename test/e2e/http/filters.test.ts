import { createPlanstreamClient } from '@planstream/client'
import { createTRPCClient, httpBatchLink, httpLink } from '@trpc/client'
import { describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import type { AppRouter } from '../../../server/src/api/router.js'
import { startTestServer } from '../../support/servers/test-server.js'
import { READERS } from '../../support/streams/stream-readers.js'

describe('an empty list as a filter', () => {
	it.each(['sse', 'websocket', 'poll'] as const)('is refused on %s, as everywhere', async (transport) => {
		await using server = await startTestServer()
		await using planstream = createPlanstreamClient({ url: server.url, transport, WebSocket })
		const { plans } = planstream
		const outcomes: readonly (readonly [string, () => Promise<unknown>])[] = [
			['event_types', () => plans.events({ plan_id: 'p', event_types: [] }).next()],
			['status', () => plans.changes({ status: [] }).next()],
			['label', () => plans.changes({ label: [] }).next()],
			['status', () => plans.list({ status: [] })],
			['label', () => plans.list({ label: [] })],
		]
		for (const [path, ask] of outcomes) {
			const refused = { code: 'bad_request', facts: { path: expect.stringMatching(path) } }
			await expect(ask()).rejects.toMatchObject(refused)
		}
	})

	it('is refused in an address and by the stock client of tRPC', async () => {
		await using server = await startTestServer()
		for (const query of [
			'streaming/plans/p/events?event_types=',
			'streaming/plans/changes?status=',
			'plans?status=',
			'plans?label=',
		]) {
			const answer = await fetch(`${server.url}/api/v1/${query}`)
			expect([query, answer.status, await answer.json()]).toMatchObject([query, 400, { code: 'bad_request' }])
		}
		const trpc = createTRPCClient<AppRouter>({ links: [httpLink({ url: `${server.url}/trpc` })] })
		for (const input of [{ status: [] }, { label: [] }]) {
			await expect(trpc.plans.list.query(input)).rejects.toMatchObject({ data: { problem: { code: 'bad_request' } } })
		}
	})
})

describe('an address of more than 16 KiB', () => {
	it.each(['httpLink', 'httpBatchLink'] as const)('is told to the stock client with %s in the shape of tRPC', async (name) => {
		await using server = await startTestServer()
		const options = { url: `${server.url}/trpc` }
		const link = name === 'httpLink' ? httpLink(options) : httpBatchLink(options)
		const trpc = createTRPCClient<AppRouter>({ links: [link] })
		const refused = { data: { code: 'PAYLOAD_TOO_LARGE', httpStatus: 413, problem: { code: 'too_large', status: 413 } } }
		await expect(trpc.plans.list.query({ query: 'x'.repeat(20_000) })).rejects.toMatchObject(refused)
	})

	it('is a problem for everybody else', async () => {
		await using server = await startTestServer()
		const answer = await fetch(`${server.url}/api/v1/plans?query=${'x'.repeat(20_000)}`)
		expect([answer.status, answer.headers.get('content-type')]).toEqual([413, 'application/problem+json'])
		expect(await answer.json()).toMatchObject({ code: 'too_large', status: 413 })
	})

	it.each(['httpLink', 'httpBatchLink'] as const)(
		'is not needed by %s with methodOverride, whose queries are answered',
		async (name) => {
			await using server = await startTestServer()
			const options = { url: `${server.url}/trpc`, methodOverride: 'POST' } as const
			const link = name === 'httpLink' ? httpLink(options) : httpBatchLink(options)
			const trpc = createTRPCClient<AppRouter>({ links: [link] })
			const label = Array.from({ length: 32 }, (_, index) => `name_${index}=${'x'.repeat(255)}`)
			expect(await trpc.plans.list.query({ query: 'x'.repeat(1024), label })).toEqual({ plans: [], next_page: null })
			await expect(trpc.plans.get.query({ plan_id: 'none' })).rejects.toMatchObject({ data: { problem: { code: 'not_found' } } })
		},
	)
})

describe('a last event id of any length that is no cursor', () => {
	it.each(READERS)('begins anew on %s and says so', async (name, read) => {
		if (name === 'plain WebSocket') return // it has `after` alone
		await using server = await startTestServer()
		await using planstream = createPlanstreamClient({ url: server.url })
		const event = { event_type: 'plan_started', data: { query: 'q', total_steps: 1 } } as const
		await planstream.events.publish({ plan_id: 'p', events: [event] })
		for (const length of [256, 257, 5000]) {
			const items = read(server.url, { plan_id: 'p', lastEventId: 'x'.repeat(length) })
			expect((await items.next()).value?.item).toMatchObject({ frame: 'ready', reset: { reason: 'epoch' }, from_seq: 1 })
			await items.return()
		}
	})
})
