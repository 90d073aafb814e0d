import { type ErrorCode, PlanstreamError } from '@planstream/shared'
import { describe, expect, it } from 'vitest'
import { ManualClock } from '#test/support/manual-clock.js'
import { addRetries, buildAddress, fillRoute } from './http.js'
import { Lifetime } from './timing.js'

const base = new URL('http://host:3000')

describe('a filled route', () => {
	it('has path fields in the path and the rest of a GET in the query, lists repeated, absent fields left out', () => {
		const input = { plan_id: 'p', after: 5, event_types: ['plan_started', 'error'], step_id: undefined, snapshot: true }
		const { url, body } = fillRoute(base, { method: 'GET', path: '/plans/{plan_id}/events' }, input)
		expect(url).toBe('http://host:3000/plans/p/events?after=5&event_types=plan_started&event_types=error&snapshot=true')
		expect(body).toBeNull()
	})

	it('has the rest of a POST in the body', () => {
		const filled = fillRoute(base, { method: 'POST', path: '/plans/{plan_id}/events' }, { plan_id: 'p', events: [1] })
		expect(filled).toEqual({ url: 'http://host:3000/plans/p/events', body: '{"events":[1]}' })
	})

	it('cannot be led to another path by what stands in a field', () => {
		const { url } = fillRoute(base, { method: 'GET', path: '/plans/{plan_id}' }, { plan_id: '../admin?x#y' })
		expect(url).toBe('http://host:3000/plans/..%2Fadmin%3Fx%23y')
	})
})

describe('an address', () => {
	it.each(['http://host/base', 'http://host/base/', 'http://host/base?query#hash'])('keeps the path of %s', (url) => {
		expect(buildAddress(new URL(url), '/trpc').href).toBe('http://host/base/trpc')
	})
})

const QUERY = { kind: 'query', method: 'GET', path: '/' } as const
const failure = (code: ErrorCode) => new PlanstreamError(code, 'No.')

/** Calls that fail as they are told to, in turn, and then succeed. */
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

describe('a query', () => {
	it('is asked again after a failure that may pass, up to four times', async () => {
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

	it('is not asked again after a refusal for good, and a command never', async () => {
		const refused = setUp(failure('not_found'))
		await expect(refused.calls(QUERY, {})).rejects.toMatchObject({ code: 'not_found' })
		const command = setUp(failure('unreachable'))
		await expect(command.calls({ ...QUERY, kind: 'mutation' }, {})).rejects.toMatchObject({ code: 'unreachable' })
		expect([refused.attempts(), command.attempts()]).toEqual([1, 1])
	})

	it('has a command with an idempotency key beside it: sent again, because it acts once', async () => {
		const { calls, run, attempts } = setUp(failure('unreachable'))
		const answer = calls({ ...QUERY, kind: 'mutation' }, { idempotency_key: 'k' })
		await run()
		expect([await answer, attempts()]).toEqual(['answer', 2])
		const without = setUp(failure('unreachable'))
		await expect(without.calls({ ...QUERY, kind: 'mutation' }, { idempotency_key: undefined })).rejects.toBeInstanceOf(
			PlanstreamError,
		)
	})

	it('ends with its signal or its client while it waits, and leaves no timer', async () => {
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
