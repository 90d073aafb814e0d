import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import * as z from 'zod'
import { defineAgent } from '../../../server/src/agents/define-agent.js'
import type { RunningServer } from '../../../server/src/server.js'
import { getProblem, post, sendRequest } from '../../support/http-request.js'
import { startTestServer } from '../../support/servers/test-server.js'

const MIB = 1024 * 1024
const wordy = defineAgent({
	type: 'wordy',
	input: z.object({ kibibytes: z.number() }),
	result: z.object({ done: z.boolean() }),
	execute: async ({ input }, context) => {
		for (let sent = 0; sent < input.kibibytes; sent += 16) context.output('x'.repeat(16 * 1024))
		return { data: { done: true } }
	},
})

let server: RunningServer
beforeAll(async () => {
	server = await startTestServer({ agents: [wordy], limits: { default: { state_bytes: MIB, plan_bytes: 2 * MIB } } })
})
afterAll(() => server[Symbol.asyncDispose]())

const publish = (plan_id: string, events: readonly unknown[]) =>
	post(server, `/api/v1/streaming/plans/${plan_id}/events`, { events })
const started = (step_id: string, data: object = {}) => ({ event_type: 'step_started', step_id, data })
const state = (plan_id: string) => sendRequest(server, `/api/v1/plans/${plan_id}`)

/** Publishes steps with long names until one is refused. */
async function fill(plan_id: string): Promise<ReturnType<typeof getProblem>> {
	for (let step = 0; step < 100; step++) {
		const refusal = getProblem(await publish(plan_id, [started(`step_${step}`, { name: 'n'.repeat(50_000) })]))
		if (refusal !== undefined) return refusal
	}
	return undefined
}

describe('A published step', () => {
	it.each([
		['a name', { name: 'n'.repeat(65_537) }],
		['an agent type', { agent_type: 'a'.repeat(129) }],
		['a list of dependencies', { depends_on: Array.from({ length: 1001 }, (_, index) => `s${index}`) }],
	])('is refused with %s above the limit of created plans', async (_what, data) => {
		expect(getProblem(await publish('long', [started('a', data)]))).toMatchObject({ code: 'invalid_event' })
	})

	it('is refused with more artifacts or a longer error than created plans may have', async () => {
		const artifact = { artifact_id: 'a'.repeat(64), name: 'a', media_type: 'text/plain', bytes: 1 }
		const completed = {
			event_type: 'step_completed',
			step_id: 'a',
			data: { artifacts: Array.from({ length: 101 }, () => artifact) },
		}
		const error = { code: 'x', message: 'm'.repeat(4097), retryable: false }
		expect(getProblem(await publish('many', [completed]))).toMatchObject({ code: 'invalid_event' })
		expect(getProblem(await publish('many', [{ event_type: 'step_failed', step_id: 'a', data: { error } }]))).toMatchObject({
			code: 'invalid_event',
		})
	})

	it('is refused in a plan of more than 1,000 steps, also when plan_created declares them', async () => {
		const steps = Array.from({ length: 1001 }, (_, index) => ({
			step_id: `s${index}`,
			name: 'n',
			action: 'a',
			agent_type: 'x',
			depends_on: [],
			implied: false,
		}))
		const spec = { plan_id: 'wide', query: 'q', steps }
		const refusal = getProblem(await publish('wide', [{ event_type: 'plan_created', data: { spec, total_steps: 1001 } }]))
		expect(refusal).toMatchObject({ code: 'invalid_event' })
	})
})

describe('A plan that is full', () => {
	it('refuses what makes its state larger, returns its state on every transport, and can be ended', async () => {
		expect(await fill('full')).toMatchObject({ code: 'plan_full', limit: 'state_bytes', maximum: MIB })
		const rest = await state('full')
		expect(rest.status).toBe(200)
		expect(rest.text.length).toBeLessThan(1.125 * MIB)
		const snapshot = await sendRequest(server, '/api/v1/streaming/plans/full/events?after=now&snapshot=true&close_after_ms=1000')
		expect(snapshot.text).toContain('"step_id":"step_0"')
		expect(snapshot.text.length).toBeLessThan(1.25 * MIB)
		const input = encodeURIComponent(JSON.stringify({ plan_id: 'full' }))
		const trpc = await sendRequest(server, `/trpc/plans.get?input=${input}`)
		expect(trpc.status).toBe(200)
		const failure = { code: 'gave_up', message: 'full', retryable: false }
		expect((await publish('full', [{ event_type: 'step_failed', step_id: 'step_0', data: { error: failure } }])).status).toBe(200)
		expect((await publish('full', [{ event_type: 'plan_failed', data: { error: failure } }])).status).toBe(200)
		expect((await state('full')).body).toMatchObject({ status: 'failed' })
	})

	it('accepts a message that replaces another one', async () => {
		await fill('replaced')
		await publish('replaced', [
			{ event_type: 'step_progress', step_id: 'step_0', data: { progress: 0.1, message: 'm'.repeat(1000) } },
		])
		const again = { event_type: 'step_started', step_id: 'step_0', data: { name: 'short' } }
		expect((await publish('replaced', [again])).status).toBe(200)
	})

	it('refuses more events when its log is full, and ends', async () => {
		const delta = 'd'.repeat(50_000)
		let refusal: ReturnType<typeof getProblem>
		for (let event = 0; event < 100 && refusal === undefined; event++) {
			refusal = getProblem(await publish('noisy', [{ event_type: 'step_output', step_id: 'a', data: { delta } }]))
		}
		expect(refusal).toMatchObject({ code: 'plan_full', limit: 'plan_bytes', maximum: 2 * MIB })
		expect((await publish('noisy', [{ event_type: 'plan_completed', data: {} }])).status).toBe(200)
	})

	it('ends when this server runs it, with its step failed', async () => {
		const steps = [
			{ step_id: 'talk', action: 'talk', agent_type: 'wordy', input: { kibibytes: 4096 }, retry: { max_attempts: 1 } },
		]
		expect((await post(server, '/api/v1/plans', { plan_id: 'talker', query: 'q', steps })).status).toBe(201)
		await sendRequest(server, '/api/v1/streaming/plans/talker/events')
		expect((await state('talker')).body).toMatchObject({ status: 'failed', steps: [{ error: { code: 'plan_full' } }] })
	})
})
