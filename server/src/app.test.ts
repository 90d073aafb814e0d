import type { HttpBindings } from '@hono/node-server'
import { PlanstreamError } from '@planstream/shared'
import { describe, expect, it } from 'vitest'
import { startPlanstream } from '#test/support/plans/test-planstream.js'
import { createAnswerBudget } from '#test/support/servers/answer-budget.js'
import { createApp } from './app.js'
import { LOCAL_AUTHENTICATOR } from './auth/authenticator.js'
import { CONNECTION_LIMITS, Connections } from './connections/connections.js'
import { processSchedule } from './ops/clock.js'

/** Creates the app without a socket, called from a program on this machine. */
async function startApp(ready: () => Promise<unknown> = () => Promise.resolve()) {
	const planstream = await startPlanstream()
	const stop = new AbortController()
	const draining = stop.signal
	const { fetch } = createApp({
		services: {
			...planstream,
			connections: new Connections({ limit: 1, draining, clock: Date.now }),
			answers: createAnswerBudget(),
			schedule: processSchedule,
			draining,
			onProblem: (message) => void planstream.problems.push(message),
		},
		archiving: planstream.archiving,
		authority: LOCAL_AUTHENTICATOR,
		limits: CONNECTION_LIMITS,
		bodies: { timeoutMs: () => 30_000, clock: () => performance.now(), schedule: processSchedule },
		ready,
		metrics: () => '',
	})
	const env = {
		incoming: { complete: true, rawHeaders: [], headers: { host: 'localhost' }, socket: { remoteAddress: '::1' } },
		outgoing: { setHeader: () => undefined, closed: true },
	} as unknown as HttpBindings
	const ask = async (path: string) => {
		const answer = await fetch(new Request(`http://localhost${path}`), env)
		return { status: answer.status, body: await answer.json() }
	}
	return { ask, stop, problems: planstream.problems, [Symbol.asyncDispose]: () => planstream[Symbol.asyncDispose]() }
}

describe('createApp', () => {
	it('rejects work while the server stops, and is live but not ready', async () => {
		await using app = await startApp()
		app.stop.abort()
		const body = { code: 'draining' }
		for (const path of ['/health/ready', '/api/v1/plans', '/api/v1/streaming/plans/p/events']) {
			expect(await app.ask(path)).toMatchObject({ status: 503, body })
		}
		expect(await app.ask('/trpc/plans.list')).toMatchObject({ status: 503, body: { error: { data: { problem: body } } } })
		expect(await app.ask('/health/live')).toEqual({ status: 200, body: { status: 'live' } })
	})

	it.each(['storage_unavailable', 'storage_full'] as const)(
		'answers 503 with the reason while the log fails with %s',
		async (code) => {
			await using app = await startApp(() => Promise.reject(new PlanstreamError(code, 'The disk is gone.')))
			expect(await app.ask('/health/ready')).toMatchObject({
				status: 503,
				body: { status: 503, code, detail: 'The disk is gone.' },
			})
			expect(app.problems).toEqual([])
		},
	)

	it('reports an unexpected error and hides it from the caller', async () => {
		await using app = await startApp(() => Promise.reject(new Error('secret')))
		const answer = await app.ask('/health/ready')
		expect(answer).toMatchObject({ status: 500, body: { code: 'internal' } })
		expect(JSON.stringify(answer)).not.toContain('secret')
		expect(app.problems).toEqual(['GET /health/ready failed.'])
	})
})
