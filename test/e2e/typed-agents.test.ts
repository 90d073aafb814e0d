import { createPlanstreamClient, type PlanEvent, type PlanSpec, type Planstream, PlanstreamError } from '@planstream/client'
import { describe, expect, it } from 'vitest'
import * as z from 'zod'
import { defineAgent } from '../../server/src/agents/define-agent.js'
import type { RunningServer } from '../../server/src/server.js'
import { startTestServer } from '../support/servers/test-server.js'

const wordCount = defineAgent({
	type: 'word_count',
	input: z.strictObject({ text: z.string(), languages: z.array(z.string()).default(['en']) }),
	result: z.object({ words: z.int(), languages: z.array(z.string()) }),
	execute: async ({ input: { text, languages } }) => ({ data: { words: text.split(' ').length, languages }, quality_score: 1 }),
})

/** Promises words and returns what its input says. */
const liar = defineAgent({
	type: 'liar',
	input: z.object({ says: z.record(z.string(), z.unknown()) }),
	result: z.object({ words: z.int() }),
	execute: async ({ input }) => ({ data: input.says as { words: number } }),
})

interface SetUp extends AsyncDisposable {
	readonly server: RunningServer
	readonly planstream: Planstream
}

async function setUp(): Promise<SetUp> {
	const server = await startTestServer({ agents: [wordCount, liar] })
	const planstream = createPlanstreamClient({ url: server.url, transport: 'sse' })
	return { server, planstream, [Symbol.asyncDispose]: () => planstream.close().then(() => server[Symbol.asyncDispose]()) }
}

function plan(agent_type: string, input: Readonly<Record<string, unknown>>): PlanSpec {
	const first = { step_id: 'first', action: 'do', agent_type: 'scripted' }
	return { query: 'q', steps: [first, { step_id: 'second', action: 'do', agent_type, input: input as PlanSpec['input'] }] }
}

/** The events of a new plan, to its end. */
async function run({ planstream }: SetUp, spec: PlanSpec): Promise<PlanEvent[]> {
	const { plan_id } = await planstream.plans.create(spec)
	const events: PlanEvent[] = []
	for await (const event of planstream.plans.events({ plan_id })) events.push(event)
	return events
}

const refusal = (work: Promise<unknown>) =>
	work.then(
		() => null,
		(error: unknown) => (error instanceof PlanstreamError ? { ...error.toProblem() } : error),
	)

describe('A typed agent', () => {
	it('receives its input as its schema parses it, and its result is parsed by the other', async () => {
		await using test = await setUp()
		const events = await run(test, plan('word_count', { text: 'one two three' }))
		const [, completed] = events.filter((event) => event.event_type === 'step_completed')
		expect(completed?.data.data).toEqual({ words: 3, languages: ['en'] })
		const lenient = (await run(test, plan('liar', { says: { words: 1, more: 2 } }))).find(
			(event) => event.event_type === 'step_completed' && event.step_id === 'second',
		)
		expect(lenient?.data).toMatchObject({ data: { words: 1 } })
		expect(lenient?.data).not.toMatchObject({ data: { more: 2 } })
	})

	it.each([
		[{}, 'steps.1.input.text', 'steps[1].input.text is missing; it must be a string.'],
		[{ text: 5 }, 'steps.1.input.text', 'steps[1].input.text must be a string, but is 5.'],
		[{ text: '', languages: ['en', null] }, 'steps.1.input.languages.1', 'steps[1].input.languages[1] must be a string'],
		[{ text: '', txt: '' }, 'steps.1.input', 'has no field named "txt"'],
	])('refuses a plan whose input is %j, before the plan exists', async (input, path, said) => {
		await using test = await setUp()
		const problem = await refusal(test.planstream.plans.create({ ...plan('word_count', input), plan_id: 'p' }))
		expect(problem).toMatchObject({ status: 422, code: 'invalid_input', path, detail: expect.stringContaining(said) })
		expect(await refusal(test.planstream.plans.get({ plan_id: 'p' }))).toMatchObject({ code: 'not_found' })
	})

	it.each([
		[{ words: 'many' }, 'data.words'],
		[{}, 'data.words'],
	])('fails once, without a retry, when it returns %j', async (says, path) => {
		await using test = await setUp()
		const events = await run(test, plan('liar', { says }))
		const failed = events.find((event) => event.event_type === 'step_failed')
		expect(failed?.data.error).toMatchObject({ code: 'invalid_event', retryable: false, message: expect.stringContaining(path) })
		expect(events.filter(({ event_type }) => event_type === 'step_retrying')).toEqual([])
	})

	it('accepts only edits with a valid input, and checks only the edited steps', async () => {
		await using test = await setUp()
		const { plans } = test.planstream
		const { plan_id } = await plans.create({ ...plan('word_count', { text: 'a' }), start: false })
		const patch = (step_id: string, input: Record<string, string | number>) =>
			plans.modify({ plan_id, ops: [{ op: 'update_step', step_id, patch: { input } }] })
		expect(await refusal(patch('second', { text: 1 }))).toMatchObject({ code: 'invalid_input', path: 'steps.1.input.text' })
		expect(await refusal(patch('second', { text: 'b' }))).toBeNull()
		expect(await refusal(patch('first', { result: 1 }))).toMatchObject({ code: 'invalid_input', path: 'steps.0.input.result' })
	})

	it('accepts only a valid result of a reviewer', async () => {
		await using test = await setUp()
		const { plans, reviews } = test.planstream
		const { query, steps } = plan('word_count', { text: 'a' })
		const gated = steps.slice(1).map((step) => ({ ...step, quality: { require_review: true } }))
		const { plan_id } = await plans.create({ query, steps: gated })
		const answer = (review_id: string, words: unknown) =>
			reviews.answer({ plan_id, review_id, decision: 'edit', payload: { words: words as number, languages: [] } })
		for await (const event of plans.events({ plan_id })) {
			if (event.event_type !== 'review_required') continue
			const { review_id } = event.data
			const refused = await refusal(answer(review_id, 'x'))
			expect(refused).toMatchObject({ status: 422, code: 'invalid_input', path: 'payload.words' })
			await answer(review_id, 7)
		}
		expect((await plans.get({ plan_id })).result).toEqual({ second: { words: 7, languages: [] } })
	})

	it('is listed with its schemas, as each built-in one is', async () => {
		await using test = await setUp()
		const { agents } = await test.planstream.agents.list()
		const byType = new Map(agents.map((agent) => [agent.agent_type, agent]))
		expect(byType.get('word_count')).toMatchObject({
			input_schema: { type: 'object', required: ['text'], properties: { text: { type: 'string' } } },
			result_schema: { type: 'object', required: ['words', 'languages'] },
		})
		for (const { input_schema, result_schema } of agents) expect([input_schema, result_schema]).not.toContain(null)
	})

	it.each([
		['a date', z.date()],
		['a bigint', z.bigint()],
		['a transform', z.string().transform(Number)],
	])('is rejected when its result schema has %s, which JSON Schema cannot describe', async (_name, field) => {
		const agent = { ...wordCount, result: z.object({ field }) }
		await expect(startTestServer({ agents: [agent] })).rejects.toMatchObject({
			code: 'bad_request',
			message: expect.stringContaining('The result schema of the agent word_count holds a'),
		})
	})
})
