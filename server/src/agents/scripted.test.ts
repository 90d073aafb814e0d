import { getEventListeners } from 'node:events'
import { describe, expect, it } from 'vitest'
import { agentSuite } from '#test/suites/agent.suite.js'
import { outputOf, recordingContext } from '#test/support/agents/recording-context.js'
import { callAgent } from '../plans/agent.js'
import { scriptedAgent } from './scripted.js'

const step = (input: Record<string, unknown>) => ({
	step_id: 'step_1',
	name: 'Play',
	action: 'play',
	agent_type: 'scripted',
	input,
})
const play = (input: Record<string, unknown>, context = recordingContext()) => callAgent(scriptedAgent(), step(input), context)

agentSuite('scripted', scriptedAgent, () => ({
	step: step({
		updates: [{ progress: 0.25 }, { output: 'a' }, { wait_ms: 1 }, { usage: { tokens: 2 } }, { progress: 1 }],
		result: { answer: 42 },
		quality_score: 0.9,
	}),
	badInput: { updates: [{ wait_ms: -1 }] },
}))

describe('scriptedAgent', () => {
	it('performs every kind of update in order', async () => {
		const context = recordingContext()
		const waits: number[] = []
		const agent = scriptedAgent({ sleep: async (ms) => void waits.push(ms) })
		const updates = [
			{ progress: 0.25, message: 'a quarter' },
			{ output: 'x', repeat: 3 },
			{ output: 'y', channel: 'log' },
			{ wait_ms: 50 },
			{ usage: { tokens: 7 } },
			{ artifact: { name: 'a.txt', text: 'hello', media_type: 'text/plain' } },
		]
		await expect(callAgent(agent, step({ updates }), context)).resolves.toEqual({ data: {} })
		expect(context.reports.map(({ kind }) => kind)).toEqual([
			'progress',
			'output',
			'output',
			'output',
			'output',
			'usage',
			'artifact',
		])
		expect(outputOf(context, 'text')).toBe('xxx')
		expect(outputOf(context, 'log')).toBe('y')
		expect(waits).toEqual([50])
	})

	it('fails as often as its input says, with the given code, message and retryability', async () => {
		const input = { fail: { times: 2, code: 'upstream', message: 'is down', retryable: true }, result: { ok: true } }
		for (const attempt of [1, 2]) {
			await expect(play(input, recordingContext({ attempt }))).rejects.toMatchObject({
				code: 'upstream',
				message: 'is down',
				retryable: true,
			})
		}
		await expect(play(input, recordingContext({ attempt: 3 }))).resolves.toEqual({ data: { ok: true } })
	})

	it('returns the score and checks with the result', async () => {
		const checks = [{ name: 'relevance', score: 0.5, passed: false, evidence: { missing: ['a'] } }]
		await expect(play({ quality_score: 0.5, checks })).resolves.toEqual({ data: {}, quality_score: 0.5, checks })
	})

	it('echoes the results of its dependencies', async () => {
		const inputs = { step_0: { found: 3 }, skipped: null }
		await expect(play({ echo_inputs: true }, recordingContext({ inputs }))).resolves.toEqual({ data: inputs })
	})

	it('returns a result of exactly the requested size', async () => {
		const { data } = await play({ result_bytes: 10_000 })
		expect(JSON.stringify(data)).toHaveLength(10_000)
	})

	it('returns values that JSON cannot represent', async () => {
		const { data } = await play({ garbage: true })
		expect(() => JSON.stringify(data)).toThrow(TypeError)
	})

	it('hangs until it is aborted and leaves no listener', async () => {
		const abort = new AbortController()
		const hanging = play({ hang: true }, recordingContext({ signal: abort.signal }))
		abort.abort(new Error('enough'))
		await expect(hanging).rejects.toThrow('enough')
		expect(getEventListeners(abort.signal, 'abort')).toHaveLength(0)
	})

	it('waits to the end and returns when it ignores aborts', async () => {
		const updates = [{ wait_ms: 1 }, { output: 'late', repeat: 2000 }]
		const context = recordingContext({ signal: AbortSignal.abort() })
		await expect(play({ updates, ignore_abort: true, result: { late: true } }, context)).resolves.toEqual({
			data: { late: true },
		})
		expect(outputOf(context, 'text')).toHaveLength(8000)
	})

	it.each([
		[{ updates: [{ progress: 0 }, { wait_ms: '5' }] }, 'input.updates[1].wait_ms'],
		[{ updates: [{ output: 'x', channel: 'smell' }] }, 'input.updates[0].channel'],
		[{ result: {}, hang: true }, 'input.hang'],
		[{ fail: { times: 0 } }, 'input.fail.times'],
		[{ resutl: {} }, 'input'],
	])('rejects %j and names the path', async (input, path) => {
		await expect(play(input)).rejects.toMatchObject({ code: 'bad_input', retryable: false, path })
		await expect(play(input)).rejects.toThrow(path)
	})
})
