import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { SSE_HEADERS } from '../../../server/src/transports/sse/stream.js'
import { StreamServer } from '../../support/servers/stream-server.js'

const { 'content-type': contentType, ...HEADERS } = SSE_HEADERS
const INPUT = encodeURIComponent(JSON.stringify({ plan_id: 'done' }))

let server: StreamServer
beforeAll(async () => {
	server = await StreamServer.start()
	await server.publish('done', [{ event_type: 'plan_completed', data: {} }])
})
afterAll(() => server[Symbol.asyncDispose]())

describe('SSE_HEADERS', () => {
	it.each([
		['GET', 'the events of a plan', '/api/v1/streaming/plans/done/events'],
		['HEAD', 'the events of a plan', '/api/v1/streaming/plans/done/events'],
		['GET', 'the list of plans', '/api/v1/streaming/plans/changes?close_after_ms=1'],
		['HEAD', 'the list of plans', '/api/v1/streaming/plans/changes'],
		['GET', 'a tRPC subscription to a plan', `/trpc/plans.events?input=${INPUT}`],
		['GET', 'another tRPC subscription', '/trpc/plans.changes'],
		['GET', 'a tRPC subscription whose input is invalid', '/trpc/plans.events?input=%7B%7D'],
	])('are on the answer to %s for %s', async (method, _, path) => {
		const left = new AbortController()
		const { status, headers } = await fetch(`${server.url}${path}`, { method, signal: left.signal })
		left.abort()
		expect(status).toBe(200)
		expect(headers.get('content-type')?.split(';')[0]).toBe(contentType)
		expect(Object.fromEntries(headers)).toMatchObject(HEADERS)
	})

	it.each([
		['GET', '/trpc/plans.events?connectionParams=nonsense'],
		['GET', '/trpc/plans.events?batch=1'],
		['POST', '/trpc/plans.events'],
	])("are not needed on tRPC's own answer to %s %s, because it is JSON", async (method, path) => {
		const { status, headers } = await fetch(`${server.url}${path}`, { method })
		expect([status, headers.get('content-type')]).toEqual([400, 'application/json'])
	})
})
