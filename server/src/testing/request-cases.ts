import assert from 'node:assert/strict'
import type { PublishOutput } from '@planstream/shared'
import type { Answer, Target } from './target.js'

/** A test case of single requests. */
export interface RequestCase {
	readonly name: string
	readonly run: (target: Target) => Promise<void>
}

const started = (event_id: string, query = 'Which?') => ({
	event_id,
	event_type: 'plan_started',
	data: { query, total_steps: 1 },
})
const progress = (event_id: string) => ({ event_id, event_type: 'step_progress', step_id: 's', data: { progress: 0.5 } })
const completed = { event_id: 'end', event_type: 'plan_completed', data: {} }

function assertProblem(
	{ status, headers, body }: Answer,
	expected: { readonly status: number; readonly code: string; readonly path?: string },
): void {
	const { code, path } = body
	assert.deepEqual({ status, code, ...('path' in expected && { path }) }, expected)
	assert.match(headers.get('content-type') ?? '', /^application\/problem\+json/)
	for (const field of ['type', 'title', 'detail']) assert.equal(typeof body[field], 'string', `a problem has a ${field}`)
}

function listSeqs({ results }: PublishOutput): readonly (readonly [number, boolean])[] {
	return results.map(({ seq, duplicate }) => [seq, duplicate])
}

export const REQUEST_CASES: readonly RequestCase[] = [
	{
		name: 'publishing numbers events in sequence and gives repeated events their old numbers',
		run: async (target) => {
			const plan_id = target.newPlan()
			const batch = [started('1'), progress('2')]
			assert.deepEqual(listSeqs(await target.publish(plan_id, batch)), [
				[1, false],
				[2, false],
			])
			assert.deepEqual(listSeqs(await target.publish(plan_id, batch)), [
				[1, true],
				[2, true],
			])
			assert.deepEqual(listSeqs(await target.publish(plan_id, [progress('3')])), [[3, false]])
		},
	},
	{
		name: 'publishing refuses a known id with different content, a batch of known and new ids, and a wrong expected_seq',
		run: async (target) => {
			const plan_id = target.newPlan()
			await target.publish(plan_id, [started('1')])
			const refused = { status: 409, code: 'conflict' }
			assertProblem(await target.send(plan_id, [started('1', 'Other?')]), refused)
			assertProblem(await target.send(plan_id, [started('1'), progress('2')]), refused)
			assertProblem(await target.send(plan_id, [progress('2')], { expected_seq: 7 }), refused)
			assert.deepEqual(listSeqs(await target.publish(plan_id, [progress('2')])), [[2, false]])
		},
	},
	{
		name: 'publishing names the invalid field of an event and stores nothing of its batch',
		run: async (target) => {
			const plan_id = target.newPlan()
			const wrong = { ...progress('2'), data: { progress: 7 } }
			assertProblem(await target.send(plan_id, [started('1'), wrong]), {
				status: 422,
				code: 'invalid_event',
				path: 'events.1.data.progress',
			})
			assertProblem(await target.ask(`/api/v1/plans/${plan_id}`), { status: 404, code: 'not_found' })
		},
	},
	{
		name: 'a completed plan accepts no more events',
		run: async (target) => {
			const plan_id = target.newPlan()
			await target.publish(plan_id, [started('1'), completed])
			assertProblem(await target.send(plan_id, [progress('3')]), { status: 409, code: 'illegal_transition' })
			const state = (await target.ask(`/api/v1/plans/${plan_id}`)).body
			assert.deepEqual([state.status, state.owner, state.seq], ['completed', 'external', 2])
		},
	},
	{
		name: 'an unknown plan is 404, its history is empty',
		run: async (target) => {
			const plan_id = target.newPlan()
			assertProblem(await target.ask(`/api/v1/plans/${plan_id}`), { status: 404, code: 'not_found' })
			const { status, body } = await target.ask(`/api/v1/streaming/plans/${plan_id}/history`)
			assert.deepEqual([status, body.events, body.next_cursor, body.finished], [200, [], '0', false])
		},
	},
	{
		name: 'history pages follow one another and refuse a cursor that is gone',
		run: async (target) => {
			const plan_id = target.newPlan()
			await target.publish(plan_id, [started('1'), progress('2'), completed])
			const page = (query: string) => target.ask(`/api/v1/streaming/plans/${plan_id}/history?${query}`)
			const first = (await page('limit=2')).body
			assert.deepEqual([first.event_count, first.head_seq, first.finished], [2, 3, false])
			const second = (await page(`after=${String(first.next_cursor)}`)).body
			assert.deepEqual([second.event_count, second.finished], [1, true])
			assertProblem(await page('after=9'), { status: 410, code: 'cursor_gone' })
			assertProblem(await page('after=nonsense!'), { status: 400, code: 'bad_request', path: 'after' })
		},
	},
	{
		name: 'server-sent events disable caching and buffering, and a finished plan at its head is 204',
		run: async (target) => {
			const plan_id = target.newPlan()
			const { cursor } = await target.publish(plan_id, [started('1'), completed])
			const path = `/api/v1/streaming/plans/${plan_id}/events`
			const { headers } = await target.ask(path)
			assert.match(headers.get('content-type') ?? '', /^text\/event-stream/)
			assert.match(headers.get('cache-control') ?? '', /no-cache.*no-transform/)
			assert.equal(headers.get('x-accel-buffering'), 'no')
			assert.equal((await target.ask(path, { headers: { 'last-event-id': cursor } })).status, 204)
			assert.equal((await target.ask(`${path}?after=2`)).status, 200)
		},
	},
	{
		name: 'a wrong method is refused with the allowed ones',
		run: async (target) => {
			const answer = await target.ask('/api/v1/plans', { method: 'DELETE' })
			assertProblem(answer, { status: 405, code: 'method_not_allowed' })
			assert.match(answer.headers.get('allow') ?? '', /GET.*POST|POST.*GET/)
		},
	},
]
