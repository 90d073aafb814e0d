import { ERRORS, type ErrorCode, PlanstreamError } from '@planstream/shared'
import { describe, expect, it } from 'vitest'
import { readCloseError, readResponseError, readTrpcError, toStreamError } from './problem.js'
import { ConnectionLost } from './transports/transport.js'

const problem = new PlanstreamError('stale_revision', 'Too old.', { revision: 3 }).toProblem()

describe('readCloseError', () => {
	it.each([1000, 1001, 1006, 1011, 1012, 1013, 4300, 4301, 4308, 4329, 4399])(
		'allows a reconnect after close code %i',
		(code) => {
			expect(readCloseError(code, '')).toBeInstanceOf(ConnectionLost)
		},
	)

	it.each([1009, 4400, 4401, 4403, 4404, 4450, 4499])('forbids a reconnect after close code %i', (code) => {
		expect(readCloseError(code, '')).toBeInstanceOf(PlanstreamError)
	})

	it('returns the error that the close code stands for', () => {
		expect(readCloseError(4401, 'Log in.')).toMatchObject({ code: 'unauthorized', message: 'Log in.' })
		expect(readCloseError(4499, '')).toMatchObject({ code: 'bad_request', facts: { close_code: 4499 } })
	})

	it('agrees with the error table about which codes reconnect', () => {
		for (const code of Object.keys(ERRORS) as ErrorCode[]) {
			const { close, retryable } = ERRORS[code]
			if (code !== 'internal') expect([code, readCloseError(close, '') instanceof ConnectionLost]).toEqual([code, retryable])
		}
	})
})

describe('readResponseError and readTrpcError', () => {
	it('returns the problem in the body', async () => {
		const error = await readResponseError(new Response(JSON.stringify(problem), { status: 412 }))
		expect(error).toMatchObject({ code: 'stale_revision', message: 'Too old.', facts: { revision: 3 } })
	})

	it('derives the error from the status when a proxy answered', async () => {
		expect(await readResponseError(new Response('<html>', { status: 502 }))).toBeInstanceOf(ConnectionLost)
		expect(await readResponseError(new Response('<html>', { status: 403 }))).toMatchObject({ code: 'forbidden' })
		expect(await readResponseError(new Response('', { status: 418 }))).toMatchObject({
			code: 'bad_request',
			facts: { status: 418 },
		})
	})

	it('returns the problem of a tRPC error, or the error that its tRPC code stands for', () => {
		expect(readTrpcError({ message: 'x', data: { code: 'BAD_REQUEST', problem } })).toMatchObject({ code: 'stale_revision' })
		expect(readTrpcError({ message: 'No.', data: { code: 'FORBIDDEN' } })).toMatchObject({ code: 'forbidden', message: 'No.' })
		expect(readTrpcError(null)).toMatchObject({ code: 'internal' })
	})
})

describe('toStreamError', () => {
	it('returns a lost connection with the delay the server asked for when the error is retryable', () => {
		const error = new PlanstreamError('rate_limited', 'Slower.', { retry_after_ms: 1500 })
		expect(toStreamError(error)).toMatchObject({ name: 'ConnectionLost', retryAfterMs: 1500, cause: error })
	})

	it('returns the error itself when it is permanent', () => {
		const error = new PlanstreamError('bad_request', 'No.')
		expect(toStreamError(error)).toBe(error)
	})
})
