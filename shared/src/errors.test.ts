import { describe, expect, it, vi } from 'vitest'
import { asPlanstreamError, ERRORS, PlanstreamError } from './errors.js'

describe('ERRORS', () => {
	it('gives retryable codes a close code that reconnects, and all others one that does not', () => {
		const standard = new Set([1009, 1011, 1012, 1013])
		for (const [code, { close, retryable }] of Object.entries(ERRORS)) {
			if (standard.has(close)) continue
			expect(close >= 4300 && close < 4400, code).toBe(retryable)
			expect(close >= 4400 && close < 4500, code).toBe(!retryable)
		}
	})

	it('gives no permanent failure a code that the stock tRPC client retries forever', () => {
		const retried = new Set(['INTERNAL_SERVER_ERROR', 'SERVICE_UNAVAILABLE', 'BAD_GATEWAY', 'GATEWAY_TIMEOUT'])
		for (const [code, { trpc, status }] of Object.entries(ERRORS)) {
			if (status < 500) expect(retried.has(trpc), code).toBe(false)
		}
	})
})

describe('PlanstreamError', () => {
	it('survives a round trip through its problem document', () => {
		const error = new PlanstreamError('illegal_transition', 'No.', { from: 'paused', allowed: ['resume'] })
		const back = PlanstreamError.fromProblem(JSON.parse(JSON.stringify(error.toProblem())))
		expect(back).toMatchObject({ code: error.code, message: error.message, facts: error.facts })
	})

	it('keeps the message of an unknown code, and reads a missing problem as internal', () => {
		expect(PlanstreamError.fromProblem({ code: 'new_code', detail: 'New.' })).toMatchObject({ code: 'internal', message: 'New.' })
		expect(PlanstreamError.fromProblem(null).code).toBe('internal')
	})

	it('hides the message of an unexpected error and keeps it as cause', () => {
		const cause = new Error('secret path')
		const error = asPlanstreamError(cause)
		expect(JSON.stringify(error.toProblem())).not.toContain('secret')
		expect(error.cause).toBe(cause)
	})

	it('is recognised by every copy of the class, and by a subclass only when it is one', async () => {
		vi.resetModules()
		const other = await import('./errors.js')
		expect(other.PlanstreamError).not.toBe(PlanstreamError)
		const error = new other.PlanstreamError('not_found', 'None.')
		class Derived extends PlanstreamError {}
		expect([error instanceof PlanstreamError, error instanceof Derived]).toEqual([true, false])
		expect(new Derived('not_found', 'None.')).toBeInstanceOf(Derived)
		expect(asPlanstreamError(error)).toBe(error)
		const unknown = Object.assign(new other.PlanstreamError('not_found', 'None.'), { code: 'from_a_newer_version' })
		const foreign = Object.assign(new Error('None.'), { code: 'not_found', facts: {} })
		for (const thrown of [unknown, foreign, null, 'PlanstreamError']) expect(thrown instanceof PlanstreamError).toBe(false)
	})
})
