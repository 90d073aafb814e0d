import { createPlanstreamClient, type Planstream } from '@planstream/client'
import { describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { startTestServer } from '../../support/servers/test-server.js'

const none = undefined as unknown as string
const plan = (plan_id: string) => ({ plan_id })

type Use = (planstream: Planstream, id: string) => unknown

/** Each use of an id, with the field that it fills. */
const uses: readonly (readonly [string, string, Use])[] = [
	['plans.start', 'plan_id', ({ plans }, id) => plans.start(plan(id))],
	['plans.pause', 'plan_id', ({ plans }, id) => plans.pause(plan(id))],
	['plans.resume', 'plan_id', ({ plans }, id) => plans.resume(plan(id))],
	['plans.cancel', 'plan_id', ({ plans }, id) => plans.cancel(plan(id))],
	['plans.retry', 'plan_id', ({ plans }, id) => plans.retry(plan(id))],
	['plans.modify', 'plan_id', ({ plans }, id) => plans.modify({ plan_id: id, ops: [] })],
	['plans.clone', 'plan_id', ({ plans }, id) => plans.clone(plan(id))],
	['plans.delete', 'plan_id', ({ plans }, id) => plans.delete(plan(id))],
	['plans.get', 'plan_id', ({ plans }, id) => plans.get(plan(id))],
	['plans.result', 'plan_id', ({ plans }, id) => plans.result(plan(id))],
	['plans.history', 'plan_id', ({ plans }, id) => plans.history(plan(id))],
	['plans.subscribers', 'plan_id', ({ plans }, id) => plans.subscribers(plan(id))],
	['plans.clear', 'plan_id', ({ plans }, id) => plans.clear(plan(id))],
	['plans.events', 'plan_id', ({ plans }, id) => plans.events(plan(id)).next()],
	['plans.watch', 'plan_id', ({ plans }, id) => plans.watch(id).next()],
	['steps.retry', 'plan_id', ({ steps }, id) => steps.retry({ plan_id: id, step_id: 's' })],
	['steps.retry', 'step_id', ({ steps }, id) => steps.retry({ plan_id: 'p', step_id: id })],
	['steps.skip', 'step_id', ({ steps }, id) => steps.skip({ plan_id: 'p', step_id: id })],
	['steps.result', 'step_id', ({ steps }, id) => steps.result({ plan_id: 'p', step_id: id })],
	['reviews.list', 'plan_id', ({ reviews }, id) => reviews.list(plan(id))],
	['reviews.answer', 'plan_id', ({ reviews }, id) => reviews.answer({ plan_id: id, review_id: 'r', decision: 'approve' })],
	['events.publish', 'plan_id', ({ events }, id) => events.publish({ plan_id: id, events: [] })],
	['admin.verify', 'plan_id', ({ admin }, id) => admin.verify(plan(id))],
	['publisher', 'plan_id', (planstream, id) => planstream.publisher(id)],
	['stepStarted', 'step_id', (planstream, id) => planstream.publisher('p').stepStarted(id, 'a')],
]

/** Uses that may omit the id, but not give a malformed one. */
const optional: readonly (readonly [string, string, Use])[] = [
	['plans.create', 'plan_id', ({ plans }, id) => plans.create({ plan_id: id, query: 'q', steps: [] })],
	['plans.clone', 'new_plan_id', ({ plans }, id) => plans.clone({ plan_id: 'p', new_plan_id: id })],
	['plans.events', 'step_id', ({ plans }, id) => plans.events({ plan_id: 'p', step_id: id }).next()],
]

async function refuse(planstream: Planstream, use: Use, id: unknown): Promise<unknown> {
	try {
		return await use(planstream, id as string)
	} catch (error) {
		return error
	}
}

describe.each(['sse', 'websocket', 'poll'] as const)('a client on %s', (transport) => {
	it('refuses an id that is missing or malformed at once, in every method, and sends nothing', async () => {
		await using server = await startTestServer()
		let sent = 0
		class CountingWebSocket extends WebSocket {
			constructor(url: string) {
				super(url)
				sent++
			}
		}
		const counting: typeof fetch = (input, init) => {
			sent++
			return fetch(input, init)
		}
		await using planstream = createPlanstreamClient({ url: server.url, transport, WebSocket: CountingWebSocket, fetch: counting })
		const malformed = [null, 7, {}, '', 'a b', 'a/b', '../a', 'x'.repeat(600)]
		for (const [name, path, use] of uses) {
			for (const id of [none, ...malformed]) {
				const refused = { code: 'bad_request', facts: { path } }
				expect([name, id, await refuse(planstream, use, id)]).toEqual([name, id, expect.objectContaining(refused)])
			}
		}
		for (const [name, path, use] of optional) {
			for (const id of malformed) {
				const refused = { code: 'bad_request', facts: { path } }
				expect([name, id, await refuse(planstream, use, id)]).toEqual([name, id, expect.objectContaining(refused)])
			}
		}
		expect(sent).toBe(0)
	})
})

it.each([undefined, null, 'p', ['p']])('a client refuses %o in place of an input', async (input) => {
	await using planstream = createPlanstreamClient({ url: 'http://127.0.0.1:9' })
	await expect(planstream.plans.get(input as never)).rejects.toMatchObject({ code: 'bad_request' })
	expect(() => planstream.plans.events(input as never)).toThrow(expect.objectContaining({ code: 'bad_request' }))
})

it.each([null, '', 'a b', 'a/b', 'x'.repeat(129)])('a publisher refuses the event id %o and goes on', async (event_id) => {
	await using server = await startTestServer()
	await using planstream = createPlanstreamClient({ url: server.url })
	await using publisher = planstream.publisher('p')
	const event = { event_type: 'plan_started', data: { query: 'q', total_steps: 1 } } as const
	await expect(publisher.publish({ ...event, event_id: event_id as string })).rejects.toMatchObject({
		code: 'bad_request',
		facts: { path: 'event_id' },
	})
	await publisher.publish(event)
	await publisher.flush()
	expect(publisher.state).toBe('open')
})

it('a client refuses a bare id where an object belongs, and shows that object', async () => {
	await using planstream = createPlanstreamClient({ url: 'http://127.0.0.1:9' })
	const bare = 'first' as unknown as { plan_id: string }
	for (const method of ['get', 'pause', 'resume', 'delete'] as const) {
		await expect(planstream.plans[method](bare)).rejects.toMatchObject({
			code: 'bad_request',
			message: 'The input is "first". Pass an object such as { plan_id: ... }.',
		})
	}
})
