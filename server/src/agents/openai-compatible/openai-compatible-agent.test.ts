import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { agentSuite } from '#test/suites/agent.suite.js'
import { FakeOpenAi, streamedReply } from '#test/support/agents/fake-openai.js'
import { outputOf, type RecordingOptions, recordingContext } from '#test/support/agents/recording-context.js'
import { startPlanstream } from '#test/support/plans/test-planstream.js'
import { callAgent } from '../../plans/agent.js'
import { fillPrompt, openAiCompatibleAgent } from './openai-compatible-agent.js'

const KEY = 'sk-very-secret'
const REFUSED = { status: 401, parts: [JSON.stringify({ error: { message: `Incorrect API key provided: ${KEY}.` } })] }
const BUSY = { status: 429, headers: { 'retry-after': '7' }, parts: ['{}'] }
const FAILING = { status: 503, parts: ['<html>overloaded</html>'] }

let double: FakeOpenAi
let waits: number[]
beforeEach(async () => {
	double = await FakeOpenAi.start()
	waits = []
})
afterEach(() => double[Symbol.asyncDispose]())

const agent = () =>
	openAiCompatibleAgent(
		{ baseUrl: `${double.baseUrl}/`, apiKeyEnv: 'KEY', model: 'small' },
		{ env: { KEY }, sleep: async (ms) => void waits.push(ms) },
	)
const step = (input: Record<string, unknown>) => ({
	step_id: 's',
	name: 'S',
	action: 'ask',
	agent_type: 'openai-compatible',
	input,
})
const ask = (input: Record<string, unknown> = {}, options: RecordingOptions = {}) => {
	const context = recordingContext(options)
	return { context, result: callAgent(agent(), step({ prompt: 'Say hello', ...input }), context) }
}

agentSuite('openai-compatible', agent, () => ({ step: step({ prompt: 'Say hello' }), badInput: { prompt: '' } }))

describe('openAiCompatibleAgent', () => {
	it('sends the prompt of its step and streams the answer with its usage', async () => {
		const { context, result } = ask({ system: 'Be brief.', model: 'large', temperature: 0, max_tokens: 9 })
		await expect(result).resolves.toEqual({ data: { text: 'Hello, world', model: 'double-1', finish_reason: 'stop' } })
		expect(context.reports).toMatchObject([
			{ kind: 'output', delta: 'Hello' },
			{ kind: 'output', delta: ', ' },
			{ kind: 'output', delta: 'world' },
			{ kind: 'usage', used: { prompt_tokens: 5, completion_tokens: 3, total_tokens: 8 } },
		])
		expect(double.requests).toEqual([
			{
				path: '/v1/chat/completions',
				headers: expect.objectContaining({ authorization: `Bearer ${KEY}`, 'content-type': 'application/json' }),
				body: {
					model: 'large',
					messages: [
						{ role: 'system', content: 'Be brief.' },
						{ role: 'user', content: 'Say hello' },
					],
					stream: true,
					stream_options: { include_usage: true },
					temperature: 0,
					max_tokens: 9,
				},
			},
		])
	})

	it('requests the default model when a step names none, and sends no key when it has none', async () => {
		const keyless = openAiCompatibleAgent({ baseUrl: double.baseUrl, model: 'small' }, { env: {} })
		await callAgent(keyless, step({ prompt: 'x' }), recordingContext())
		expect(double.requests[0]).toMatchObject({ body: { model: 'small' } })
		expect(double.requests[0]?.headers).not.toHaveProperty('authorization')
		const modelless = openAiCompatibleAgent({ baseUrl: double.baseUrl }, { env: {} })
		const asked = callAgent(modelless, step({ prompt: 'x' }), recordingContext())
		await expect(asked).rejects.toMatchObject({ code: 'bad_input', path: 'input.model' })
	})

	it('decodes an answer that arrives byte by byte, with characters of any length', async () => {
		const bytes = [...new TextEncoder().encode(streamedReply(['grüße ', '😀', ' 日本']))]
		double.replies = [{ parts: bytes.map((byte) => Uint8Array.of(byte)) }]
		const { context, result } = ask()
		await expect(result).resolves.toMatchObject({ data: { text: 'grüße 😀 日本' } })
		expect(outputOf(context, 'text')).toBe('grüße 😀 日本')
	})

	it('retries when the server is busy or failing, after the delay it asks for or with growing delays', async () => {
		double.replies = [BUSY, FAILING, ...double.replies]
		await expect(ask().result).resolves.toMatchObject({ data: { text: 'Hello, world' } })
		expect(waits).toEqual([7000, 2000])
	})

	it('gives up after four attempts, or at once when the delay is too long, and lets the step retry', async () => {
		double.replies = [FAILING]
		await expect(ask().result).rejects.toMatchObject({
			code: 'upstream_failed',
			retryable: true,
			message: expect.stringContaining('503'),
		})
		expect(waits).toEqual([1000, 2000, 4000])
		double.replies = [{ ...BUSY, headers: { 'retry-after': '3600' } }]
		await expect(ask().result).rejects.toMatchObject({ code: 'upstream_failed', retryable: true })
		expect(waits).toHaveLength(3)
	})

	it.each([
		['a refusal', REFUSED, { code: 'upstream_refused', retryable: false, message: expect.stringContaining('Incorrect API key') }],
		['a redirect', { status: 302, headers: { location: 'http://127.0.0.1:1/' }, parts: [] }, { code: 'upstream_unavailable' }],
		[
			'a page',
			{ headers: { 'content-type': 'text/html' }, parts: ['<html></html>'] },
			{ code: 'upstream_unavailable', retryable: true },
		],
		['garbage', { parts: ['data: \u0000{]\n\n'] }, { code: 'upstream_invalid', retryable: true }],
		['nothing', { parts: [] }, { code: 'upstream_unavailable', retryable: true }],
		[
			'half an answer',
			{ parts: [streamedReply(['a']).split('data: {"id":"c1"').slice(0, 3).join('data: {"id":"c1"')] },
			{ code: 'upstream_unavailable' },
		],
		[
			'a broken connection',
			{ parts: [streamedReply(['a', 'b']).slice(0, 200)], ending: 'cut' as const },
			{ code: 'upstream_unavailable' },
		],
		[
			'an error in the middle',
			{ parts: [`data: ${JSON.stringify({ error: { message: `no more for ${KEY}` } })}\n\n`] },
			{ code: 'upstream_failed', retryable: true, message: expect.stringContaining('no more for [key]') },
		],
		[
			'too long an answer',
			{ parts: [streamedReply(['x'.repeat(40_000), 'y'.repeat(40_000)])] },
			{ code: 'too_large', retryable: false },
		],
	])('fails with an error code when it receives %s', async (_what, reply, failure) => {
		double.replies = [reply]
		await expect(ask().result).rejects.toMatchObject(failure)
	})

	it('stops when the signal aborts while the server hangs, before and during the answer', async () => {
		double.replies = [{ parts: [streamedReply(['a', 'b']).slice(0, 400)], ending: 'hang' }]
		const midway = new AbortController()
		const stopped = ask({}, { signal: midway.signal, onReport: () => setImmediate(() => midway.abort(new Error('enough'))) })
		await expect(stopped.result).rejects.toThrow('enough')
		double.replies = [{ parts: [], ending: 'hang' }]
		const before = new AbortController()
		const waiting = ask({}, { signal: before.signal })
		await expect.poll(() => double.requests.length).toBe(2)
		before.abort(new Error('enough'))
		await expect(waiting.result).rejects.toThrow('enough')
		await expect.poll(() => double.open).toBe(0)
	})

	it('shows readers of the plan no address of a server that is unreachable or refuses', async () => {
		const gone = await FakeOpenAi.start()
		const { baseUrl } = gone
		await gone[Symbol.asyncDispose]()
		const nobody = openAiCompatibleAgent({ type: 'nobody', baseUrl, model: 'small' }, { env: {} })
		double.replies = [REFUSED]
		await using planstream = await startPlanstream([nobody, agent()])
		for (const [agent_type, code, words] of [
			['nobody', 'upstream_unavailable', '(ECONNREFUSED)'],
			['openai-compatible', 'upstream_refused', 'status 401'],
		] as const) {
			const steps = [{ step_id: 'a', agent_type, action: 'ask', input: { prompt: 'x' }, retry: { max_attempts: 1 } }]
			const events = await planstream.run({ query: 'q', steps })
			const error = { code, message: expect.stringContaining(words) }
			expect(events.find(({ event_type }) => event_type === 'step_failed')).toMatchObject({ data: { error } })
			expect(JSON.stringify(events)).not.toContain('127.0.0.1')
		}
	})

	it.each(['ftp://host/v1', 'host/v1', 'https://me:secret@host/v1', 'https://host/v1?key=1'])(
		'rejects the address %s',
		(baseUrl) => {
			expect(() => openAiCompatibleAgent({ baseUrl })).toThrow(expect.objectContaining({ code: 'bad_request' }))
		},
	)

	it('rejects an unset key variable when it is defined', () => {
		const { baseUrl } = double
		expect(() => openAiCompatibleAgent({ baseUrl, apiKeyEnv: 'NO_SUCH' }, { env: {} })).toThrow('NO_SUCH')
	})

	it('fills results of earlier steps and the input of the plan into its prompt', async () => {
		const asked = { agent_type: 'openai-compatible', action: 'ask' }
		const prompt = 'Shorten for {{plan.input.reader}}: {{inputs.draft.text}}'
		await using planstream = await startPlanstream([agent()])
		const events = await planstream.run({
			query: 'Which?',
			input: { reader: 'children' },
			steps: [
				{ ...asked, step_id: 'draft', input: { prompt: '{{plan.query}}' } },
				{ ...asked, step_id: 'short', input: { prompt, system: 'You were asked: {{plan.query}}' } },
			],
		})
		expect(events.at(-1)?.event_type).toBe('plan_completed')
		expect(double.requests.map(({ body }) => body)).toMatchObject([
			{ messages: [{ role: 'user', content: 'Which?' }] },
			{
				messages: [
					{ role: 'system', content: 'You were asked: Which?' },
					{ role: 'user', content: 'Shorten for children: Hello, world' },
				],
			},
		])
	})

	it('keeps its key out of every event whatever the server answers', async () => {
		double.replies = [REFUSED, ...double.replies]
		await using planstream = await startPlanstream([agent()])
		const plan = { query: 'q', steps: [{ step_id: 'a', action: 'ask', agent_type: 'openai-compatible', input: { prompt: 'x' } }] }
		const failed = await planstream.run(plan)
		expect(failed.at(-1)?.event_type).toBe('plan_failed')
		expect(JSON.stringify(failed)).toContain('Incorrect API key provided: [key].')
		const completed = await planstream.run(plan)
		expect(completed.find((event) => event.event_type === 'step_completed')).toMatchObject({
			data: { data: { text: 'Hello, world', finish_reason: 'stop' }, usage: { prompt_tokens: 5, completion_tokens: 3 } },
		})
		expect(JSON.stringify([...failed, ...completed, planstream.problems])).not.toContain(KEY)
	})
})

const inputs = {
	collect: { text: 'three {{plan.query}} facts', pages: [{ title: 'One' }], count: 3 },
	'step-2': { ok: true },
	skipped: null,
}
const given = recordingContext({ plan: { query: 'Why?', input: { style: { tone: 'dry' } } }, inputs })
const fill = (template: string) => fillPrompt(template, 'input.prompt', given)

describe('fillPrompt', () => {
	it.each([
		['{{plan.query}} {{ plan.input.style.tone }}', 'Why? dry'],
		['{{inputs.collect.text}}', 'three {{plan.query}} facts'],
		['{{inputs.collect.pages.0.title}}: {{inputs.collect.count}}', 'One: 3'],
		['{{inputs.step-2}}', '{"ok":true}'],
		['{{inputs.collect.pages}}', '[{"title":"One"}]'],
		['{{inputs.skipped}} {{inputs.skipped.text}}', 'null null'],
		['{{other}} {inputs.collect} {{inputs}} {{ }} $& $1', '{{other}} {inputs.collect} {{inputs}} {{ }} $& $1'],
	])('turns %s into %s', (template, filled) => {
		expect(fill(template)).toBe(filled)
	})

	it.each([
		['{{inputs.nobody}}', 'refers to inputs.nobody, which does not exist: inputs has collect, step-2, skipped'],
		['{{inputs.collect.txt}}', 'inputs.collect has text, pages, count'],
		['{{inputs.collect.count.more}}', 'inputs.collect.count has no parts'],
		['{{inputs.constructor}}', 'refers to inputs.constructor'],
		['{{plan.__proto__}}', 'refers to plan.__proto__'],
	])('rejects %s and lists the names there are', (template, message) => {
		const refusal = { code: 'bad_input', retryable: false, message: expect.stringContaining(message) }
		expect(() => fill(template)).toThrow(expect.objectContaining(refusal))
	})

	it('rejects a prompt that would grow too large', () => {
		const long = recordingContext({ inputs: { a: { text: 'x'.repeat(60_000) } } })
		const prompt = '{{inputs.a.text}}'.repeat(1000)
		expect(() => fillPrompt(prompt, 'input.prompt', long)).toThrow(expect.objectContaining({ code: 'too_large' }))
	})

	it('inserts any text of a result unchanged', () => {
		fc.assert(
			fc.property(fc.string({ unit: 'binary' }), (text) => {
				const context = recordingContext({ inputs: { a: { text } } })
				expect(fillPrompt('<{{inputs.a.text}}>', 'input.prompt', context)).toBe(`<${text}>`)
			}),
		)
	})
})
