import { type ErrorCode, PlanstreamError } from '@planstream/shared'
import { describe, expect, it } from 'vitest'
import { ManualClock } from '#test/support/manual-clock.js'
import { addRetries, buildAddress, fillRoute } from './http.js'
import { Lifetime } from './timing.js'

const base = new URL('http://host:3000')

describe('fillRoute', () => {
	it('puts path fields into the path and the rest of a GET into the query, and omits undefined fields', () => {
		const input = { plan_id: 'p', after: 5, event_types: ['plan_started', 'error'], step_id: undefined, snapshot: true }
		const { url, body } = fillRoute(base, { method: 'GET', path: '/plans/{plan_id}/events' }, input)
		expect(url).toBe('http://host:3000/plans/p/events?after=5&event_types=plan_started&event_types=error&snapshot=true')
		expect(body).toBeNull()
	})

	it('keeps an empty list as an empty parameter, which is not the same as none', () => {
		const { url } = fillRoute(base, { method: 'GET', path: '/plans' }, { status: [], label: undefined })
		expect(url).toBe('http://host:3000/plans?status=')
	})

	it('puts the rest of a POST into the body', () => {
		const filled = fillRoute(base, { method: 'POST', path: '/plans/{plan_id}/events' }, { plan_id: 'p', events: [1] })
		expect(filled).toEqual({ url: 'http://host:3000/plans/p/events', body: '{"events":[1]}' })
	})

	it('escapes a field so that it cannot change the path', () => {
		const { url } = fillRoute(base, { method: 'GET', path: '/plans/{plan_id}' }, { plan_id: '../admin?x#y' })
		expect(url).toBe('http://host:3000/plans/..%2Fadmin%3Fx%23y')
	})
})

describe('buildAddress', () => {
	it.each(['http://host/base', 'http://host/base/'])('keeps the path of %s', (url) => {
		expect(buildAddress(new URL(url), '/trpc').href).toBe('http://host/base/trpc')
	})
})

const QUERY = { kind: 'query', method: 'GET', path: '/', answer: 'any' } as const
const failure = (code: ErrorCode) => new PlanstreamError(code, 'No.')

/** Sets up calls that fail with each of these errors in turn and then succeed. */
function setUp(...failures: Error[]) {
	const clock = new ManualClock()
	const scope = new Lifetime()
	let attempts = 0
	const call = () => {
		attempts += 1
		const next = failures.shift()
		return next === undefined ? Promise.resolve('answer') : Promise.reject(next)
	}
	const ports = { clock, random: () => 0.5, backoff: { initialMs: 100, factor: 2, maxMs: 1000 } }
	const calls = addRetries(call as never, scope, ports)
	const run = async () => {
		const settled = () => new Promise((resolve) => setImmediate(resolve))
		for (await settled(); clock.pending > 0; await settled()) clock.advance(10)
	}
	return { calls, run, clock, scope, attempts: () => attempts }
}

describe('addRetries', () => {
	it('retries a query, up to four attempts, when the failure is retryable', async () => {
		const { calls, run, clock, attempts } = setUp(failure('unreachable'), failure('draining'))
		const answer = calls(QUERY, {})
		await run()
		expect([await answer, attempts(), clock.now()]).toEqual(['answer', 3, 150])
		const last = failure('unreachable')
		const hopeless = setUp(failure('draining'), failure('draining'), failure('draining'), last)
		const refused = expect(hopeless.calls(QUERY, {})).rejects.toBe(last)
		await hopeless.run()
		await refused
	})

	it('retries neither a query after a permanent error nor a command', async () => {
		const refused = setUp(failure('not_found'))
		await expect(refused.calls(QUERY, {})).rejects.toMatchObject({ code: 'not_found' })
		const command = setUp(failure('unreachable'))
		await expect(command.calls({ ...QUERY, kind: 'mutation' }, {})).rejects.toMatchObject({ code: 'unreachable' })
		expect([refused.attempts(), command.attempts()]).toEqual([1, 1])
	})

	it('retries a command that carries an idempotency key', async () => {
		const { calls, run, attempts } = setUp(failure('unreachable'))
		const answer = calls({ ...QUERY, kind: 'mutation' }, { idempotency_key: 'k' })
		await run()
		expect([await answer, attempts()]).toEqual(['answer', 2])
		const without = setUp(failure('unreachable'))
		await expect(without.calls({ ...QUERY, kind: 'mutation' }, { idempotency_key: undefined })).rejects.toBeInstanceOf(
			PlanstreamError,
		)
	})

	it('stops waiting and leaves no timer when the signal aborts or the client closes', async () => {
		const signalled = setUp(failure('unreachable'))
		const controller = new AbortController()
		const answer = signalled.calls(QUERY, {}, { signal: controller.signal })
		controller.abort(new Error('enough'))
		await expect(answer).rejects.toThrow('enough')
		const closed = setUp(failure('unreachable'))
		const other = closed.calls(QUERY, {})
		closed.scope.close()
		await expect(other).rejects.toThrow('This client is closed')
		expect([signalled.clock.pending, closed.clock.pending]).toEqual([0, 0])
	})
})
