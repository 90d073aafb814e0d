import { createPlanstreamClient, type Planstream } from '@planstream/client'
import type { PlanEvent } from '@planstream/shared'
import type { ModifyOp } from '@planstream/shared/schemas'
import { createTRPCClient, httpLink } from '@trpc/client'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import type { AppRouter } from '../../../server/src/api/router.js'
import type { RunningServer } from '../../../server/src/server.js'
import { post, sendRequest } from '../../support/http-request.js'
import { startTestServer } from '../../support/servers/test-server.js'

let server: RunningServer
let sdk: Planstream
beforeAll(async () => {
	server = await startTestServer()
	sdk = createPlanstreamClient({ url: server.url, WebSocket })
})
afterAll(async () => {
	await sdk.close()
	await server[Symbol.asyncDispose]()
})

type Input = Record<string, unknown> & { readonly plan_id: string }
/** One way to give a command: the same names and inputs everywhere. */
type Give = (name: string, input: Input) => Promise<unknown>

/** Where REST has the commands; the rest of the input goes into the body. */
const PATHS: Record<string, (input: Input) => string> = {
	'steps.retry': ({ step_id }) => `/steps/${String(step_id)}/retry`,
	'steps.skip': ({ step_id }) => `/steps/${String(step_id)}/skip`,
	'reviews.answer': ({ review_id }) => `/reviews/${String(review_id)}`,
}

const byName = (client: unknown, name: string): unknown =>
	name.split('.').reduce((at, part) => (at as Record<string, unknown>)[part], client)

const surfaces: readonly (readonly [string, () => Give])[] = [
	['the SDK', () => (name, input) => (byName(sdk, name) as (input: Input) => Promise<unknown>)(input)],
	[
		'tRPC',
		() => {
			const trpc = createTRPCClient<AppRouter>({ links: [httpLink({ url: `${server.url}/trpc` })] })
			return (name, input) => (byName(trpc, name) as { mutate: (input: Input) => Promise<unknown> }).mutate(input)
		},
	],
	[
		'REST',
		() => async (name, input) => {
			const { plan_id, step_id: _step, review_id: _review, ...body } = input
			const path = PATHS[name]?.(input) ?? `/${name.split('.')[1] ?? ''}`
			const root = `/api/v1/plans/${plan_id}`
			const answer =
				name === 'plans.delete'
					? await sendRequest(server, root, { method: 'DELETE' })
					: await post(server, `${root}${path}`, body)
			expect(answer.status, answer.text).toBe(name === 'plans.clone' ? 201 : 200)
			return answer.body
		},
	],
]

const HANGING = { updates: [{ progress: 0.5 }], hang: true }
const GATE = { min_score: 0.5, approve_score: 0.9 }
const scripted = (step_id: string, input: object, more: object = {}) => ({
	step_id,
	action: 'work',
	agent_type: 'scripted',
	input,
	depends_on: [],
	...more,
})

async function create(plan_id: string, steps: readonly object[], more: object = {}): Promise<void> {
	await sdk.plans.create({ plan_id, query: 'q', steps, ...more } as never)
}

/** Reads the plan from its start until it shows an event of a type. */
async function until(plan_id: string, event_type: PlanEvent['event_type']): Promise<PlanEvent[]> {
	const events: PlanEvent[] = []
	for await (const event of sdk.plans.events({ plan_id, follow: 'always' })) {
		events.push(event)
		if (event.event_type === event_type) return events
	}
	return events
}

const add = (step_id: string): ModifyOp => ({ op: 'add_step', step: scripted(step_id, {}) }) as unknown as ModifyOp

describe.each(surfaces)('every command over %s', (surface, giveOn) => {
	it('acts once and records its author in its event', async () => {
		const give = giveOn()
		const plan_id = `all_${surface.replaceAll(/\W/g, '')}`
		await create(
			plan_id,
			[scripted('a', HANGING), scripted('b', HANGING), scripted('c', { quality_score: 0.7, result: {} }, { quality: GATE })],
			{ start: false },
		)
		const changed = { plan_id, changed: true }
		expect(await give('plans.start', { plan_id })).toMatchObject({ ...changed, status: 'running' })
		await until(plan_id, 'review_required')
		expect(await give('reviews.answer', { plan_id, review_id: 'c.1', decision: 'approve' })).toMatchObject(changed)
		expect(await give('plans.pause', { plan_id, mode: 'interrupt' })).toMatchObject(changed)
		await until(plan_id, 'plan_paused')
		const idle = { op: 'update_step', step_id: 'a', patch: { input: { result: {} } } }
		expect(await give('plans.modify', { plan_id, ops: [idle] })).toMatchObject({ ...changed, revision: 2 })
		expect(await give('steps.skip', { plan_id, step_id: 'b', reason: 'enough' })).toMatchObject(changed)
		expect(await give('steps.retry', { plan_id, step_id: 'b' })).toMatchObject(changed)
		expect(await give('plans.resume', { plan_id })).toMatchObject({ ...changed, status: 'running' })
		expect(await give('plans.cancel', { plan_id, reason: 'enough' })).toMatchObject(changed)
		await until(plan_id, 'plan_cancelled')
		expect(await give('plans.retry', { plan_id })).toMatchObject({ ...changed, status: 'running' })
		await give('plans.cancel', { plan_id })
		const copy = `${plan_id}_copy`
		expect(await give('plans.clone', { plan_id, new_plan_id: copy, start: false })).toMatchObject({ plan_id: copy })
		const events = await until(plan_id, 'plan_cancelled')
		const asked = ['plan_started', 'review_resolved', 'plan_pausing', 'plan_modified', 'step_skipped', 'plan_resumed']
		for (const event_type of asked) {
			expect(events.find((event) => event.event_type === event_type)?.actor, event_type).toEqual({ type: 'user', id: 'local' })
		}
		expect(events.find((event) => event.event_type === 'step_retrying' && event.data.reason === 'manual')?.actor?.type).toBe(
			'user',
		)
		expect(await give('plans.cancel', { plan_id: copy })).toMatchObject({ status: 'cancelled' })
		expect(await give('plans.delete', { plan_id: copy })).toEqual({ plan_id: copy, deleted: true })
		expect((await sendRequest(server, `/api/v1/plans/${copy}`)).status).toBe(404)
	})
})

describe('lists over tRPC', () => {
	it('need no input', async () => {
		const trpc = createTRPCClient<AppRouter>({ links: [httpLink({ url: `${server.url}/trpc` })] })
		expect(await trpc.agents.list.query()).toMatchObject({
			agents: expect.arrayContaining([expect.objectContaining({ agent_type: 'scripted' })]) as unknown,
		})
		expect(await trpc.plans.list.query()).toMatchObject({ next_page: null })
	})
})

describe('two edits of the same revision at the same time', () => {
	it('succeed once: the other gets 412 with the present revision, also in a plan of 1,000 steps', async () => {
		const steps = Array.from({ length: 999 }, (_, index) => scripted(`s${index}`, {}))
		await create('edited', steps, { start: false })
		const edit = (step_id: string) => post(server, '/api/v1/plans/edited/modify', { ops: [add(step_id)], expected_revision: 1 })
		const answers = await Promise.all([edit('x'), edit('y')])
		expect(answers.map(({ status }) => status).sort()).toEqual([200, 412])
		const refused = answers.find(({ status }) => status === 412)
		expect(refused?.body).toMatchObject({ code: 'stale_revision', revision: 2, expected_revision: 1 })
		const { steps: after, revision } = await sdk.plans.get({ plan_id: 'edited' })
		expect([after.length, revision]).toEqual([1000, 2])
		const full = await post(server, '/api/v1/plans/edited/modify', { ops: [add('z')] })
		expect(full).toMatchObject({ status: 400, body: { code: 'bad_request', path: 'ops' } })
	})
})

describe('a command sent many times at the same time under one key', () => {
	it('acts once and gets one answer; another command under the key is refused', async () => {
		await create('keyed', [scripted('a', HANGING)])
		await until('keyed', 'step_progress')
		const pause = (mode: string) => post(server, '/api/v1/plans/keyed/pause', { mode, idempotency_key: 'k' })
		const answers = await Promise.all(Array.from({ length: 8 }, () => pause('drain')))
		expect(new Set(answers.map(({ text }) => text)).size).toBe(1)
		expect(answers[0]).toMatchObject({ status: 200, body: { changed: true, status: 'pausing' } })
		expect(await pause('interrupt')).toMatchObject({ status: 409, body: { code: 'idempotency_mismatch' } })
		const events = await until('keyed', 'plan_pausing')
		expect(events.at(-1)).toMatchObject({ event_id: 'cmd.k', command: { name: 'pause', events: 1 } })
		await sdk.plans.cancel({ plan_id: 'keyed' })
		expect((await until('keyed', 'plan_cancelled')).filter((event) => event.event_type === 'plan_pausing')).toHaveLength(1)
	})
})

describe('a review', () => {
	it('is seen by all clients when one answers it, and a second answer is refused whatever it says', async () => {
		await create('reviewed', [scripted('a', { result: { draft: 1 }, quality_score: 0.7 }, { quality: GATE })])
		await until('reviewed', 'review_required')
		await using other = createPlanstreamClient({ url: server.url, transport: 'sse' })
		const watching = [sdk, other].map(async (client) => {
			for await (const event of client.plans.events({ plan_id: 'reviewed' }))
				if (event.event_type === 'review_resolved') return event
			return null
		})
		expect(await other.reviews.list({ plan_id: 'reviewed' })).toMatchObject({
			reviews: [{ review_id: 'a.1', step_id: 'a', payload: { data: { draft: 1 } } }],
		})
		const answer = (decision: 'approve' | 'reject') =>
			sdk.reviews.answer({ plan_id: 'reviewed', review_id: 'a.1', decision, comment: 'good' })
		await answer('approve')
		for (const seen of await Promise.all(watching)) {
			expect(seen).toMatchObject({ data: { review_id: 'a.1', decision: 'approve', comment: 'good' }, actor: { id: 'local' } })
		}
		for (const decision of ['approve', 'reject'] as const) {
			await expect(answer(decision)).rejects.toMatchObject({ code: 'illegal_transition', facts: { from: 'resolved' } })
		}
	})
})
