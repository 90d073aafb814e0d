import { type ErrorCode, PlanstreamError } from '@planstream/shared'
import { describe, expect, it } from 'vitest'
import { ManualClock } from '#test/support/manual-clock.js'
import { persistentCalls } from './http.js'
import { Scope } from './timing.js'

const QUERY = { kind: 'query', method: 'GET', path: '/' } as const
const failure = (code: ErrorCode) => new PlanstreamError(code, 'No.')

/** Calls that fail as they are told to, in turn, and then succeed. */
function setUp(...failures: Error[]) {
	const clock = new ManualClock()
	const scope = new Scope()
	let attempts = 0
	const call = () => {
		attempts += 1
		const next = failures.shift()
		return next === undefined ? Promise.resolve('answer') : Promise.reject(next)
	}
	const ports = { clock, random: () => 0.5, backoff: { initialMs: 100, factor: 2, maxMs: 1000 } }
	const calls = persistentCalls(call as never, scope, ports)
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
		await expect(other).rejects.toThrow('This client was closed')
		expect([signalled.clock.pending, closed.clock.pending]).toEqual([0, 0])
	})
})
