import { spawn } from 'node:child_process'
import { getEventListeners, once } from 'node:events'
import { createInterface } from 'node:readline'
import { setImmediate } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { agentSuite } from '#test/suites/agent.suite.js'
import { moduleUrl } from '#test/support/agents/isolated/module-url.js'
import { outputOf, type RecordingOptions, recordingContext } from '#test/support/agents/recording-context.js'
import { isolatedAgent, Slots } from './isolated-agent.js'

const scripted = () => isolatedAgent({ type: 'scripted', module: moduleUrl('scripted') })
const misbehaving = () => isolatedAgent({ type: 'misbehaving', module: moduleUrl('misbehaving'), memoryMb: 64 })
const step = (input: Record<string, unknown>, action = 'play') => ({ step_id: 's', name: 'S', action, agent_type: 'any', input })

/** Allows for child processes that start, load and exit while other tests start theirs. */
const PROCESSES_MS = 60_000

function misbehave(action: string, options: RecordingOptions = {}) {
	const context = recordingContext(options)
	return { context, running: Promise.resolve(misbehaving().execute(step({}, action), context) as Promise<unknown>) }
}

describe('isolatedAgent', { timeout: PROCESSES_MS }, () => {
	agentSuite('isolated', scripted, () => ({
		step: step({
			updates: [{ progress: 0.25 }, { output: 'a' }, { wait_ms: 1 }, { usage: { tokens: 2 } }, { progress: 1 }],
			result: { answer: 42 },
			quality_score: 0.9,
		}),
		badInput: { updates: [{ wait_ms: -1 }] },
	}))

	it('passes the whole context to its agent and all calls back', async () => {
		const updates = [
			{ progress: 0.5, message: 'half way' },
			{ output: 'y', channel: 'log' },
			{ usage: { tokens: 7 } },
			{ artifact: { name: 'a.txt', text: 'hello 😀', media_type: 'text/plain' } },
		]
		const context = recordingContext({ inputs: { step_0: { found: 3 } }, attempt: 2 })
		const script = { updates, fail: { times: 1 }, echo_inputs: true }
		await expect(scripted().execute(step(script), context)).resolves.toEqual({ data: { step_0: { found: 3 } } })
		expect(context.reports).toMatchObject([
			{ kind: 'progress', fraction: 0.5, message: 'half way' },
			{ kind: 'output', delta: 'y', channel: 'log' },
			{ kind: 'usage', used: { tokens: 7 } },
			{ kind: 'artifact', content: 'hello 😀' },
		])
	})

	it('forwards an abort to its agent, and accepts a result that arrives after it', async () => {
		const abort = new AbortController()
		const script = { updates: [{ output: 'a' }, { wait_ms: 5 }, { output: 'late' }], ignore_abort: true, result: { deaf: true } }
		const context = recordingContext({ signal: abort.signal, onReport: () => abort.abort() })
		await expect(scripted().execute(step(script), context)).resolves.toEqual({ data: { deaf: true } })
		expect(outputOf(context, 'text')).toBe('a')
		const hanging = new AbortController()
		const waiting = recordingContext({ signal: hanging.signal, onReport: () => hanging.abort(new Error('enough')) })
		const ended = scripted().execute(step({ updates: [{ output: 'a' }], hang: true }), waiting)
		await expect(ended).rejects.toThrow('enough')
	})

	it.each([
		['throw', { code: 'agent_error', message: 'The agent threw.', retryable: true }],
		['throw_later', { code: 'agent_crashed', message: expect.stringContaining('Nobody catches this.'), retryable: true }],
		['reject_later', { code: 'agent_crashed', message: expect.stringContaining('Nobody catches this.'), retryable: true }],
		['return_cycle', { code: 'invalid_event', retryable: false }],
		['return_too_much', { code: 'too_large', retryable: false }],
		['exit', { code: 'agent_exited', message: expect.stringContaining('exit code 3'), retryable: true }],
		['kill', { code: 'agent_exited', message: expect.stringContaining('SIGKILL'), retryable: true }],
		['disconnect', { code: 'agent_exited', retryable: true }],
		['fill_heap', { code: 'agent_out_of_memory', message: expect.stringContaining('64 MB'), retryable: true }],
		['one_huge_array', { code: 'agent_out_of_memory', retryable: true }],
		['flood_at_once', { code: 'too_large', retryable: false }],
	])('fails with an error code when its agent does %s', async (action, failure) => {
		await expect(misbehave(action).running).rejects.toMatchObject(failure)
	})

	it.each(['block', 'ignore_signal', 'flood_for_good'])(
		'ends its process when the attempt is over although its agent does %s',
		async (action) => {
			const over = new AbortController()
			const { running } = misbehave(action, { over: over.signal, onReport: () => over.abort() })
			await expect(running).rejects.toMatchObject({ code: 'agent_exited', message: expect.stringContaining('SIGKILL') })
		},
	)

	it('takes one batch of a flood at a time, and the next only after the log has caught up', async () => {
		const recorded = recordingContext()
		const batches: number[] = []
		const drained = async () => {
			const before = outputOf(recorded, 'text').length
			batches.push(before)
			for (let turns = 0; turns < 5; turns++) await setImmediate()
			expect(outputOf(recorded, 'text').length).toBe(before)
		}
		const ended = misbehaving().execute(step({}, 'flood_at_once'), { ...recorded, drained })
		await expect(ended).rejects.toMatchObject({ code: 'too_large' })
		expect(batches.length).toBeGreaterThan(10)
		for (const [index, total] of batches.entries()) expect(total - (batches[index - 1] ?? 0)).toBeLessThanOrEqual(256 * 1024)
	})

	it('ends its process when that of the server dies, even while its agent blocks it', async () => {
		const built = new URL('../../../dist/agents/isolated/isolated-agent.js', import.meta.url).href
		const source = `
			import { isolatedAgent } from '${built}'
			const { signal } = new AbortController()
			const context = { plan: {}, inputs: {}, attempt: 1, step_key: 's', signal, over: signal, drained: async () => {} }
			const agent = isolatedAgent({ type: 'a', module: new URL('${moduleUrl('misbehaving').href}') })
			await agent.execute({ action: 'block' }, { ...context, output: (pid) => process.stdout.write(pid) })`
		const server = spawn(process.execPath, ['--input-type=module', '-e', source], { stdio: ['ignore', 'pipe', 'inherit'] })
		const [line] = (await once(createInterface({ input: server.stdout }), 'line')) as [string]
		const isThere = () => {
			try {
				return process.kill(Number(line), 0)
			} catch {
				return false
			}
		}
		expect(isThere()).toBe(true)
		server.kill('SIGKILL')
		await expect.poll(isThere, { timeout: PROCESSES_MS }).toBe(false)
	})

	it.each([
		['that does not exist', moduleUrl('nobody')],
		['with a relative path', './agent.js'],
		['that is not a file', 'https://example.com/agent.js'],
	])('rejects a module %s when it is defined', (_what, module) => {
		expect(() => isolatedAgent({ type: 'a', module })).toThrow(expect.objectContaining({ code: 'bad_request' }))
	})

	it('rejects meaningless numbers when it is defined', () => {
		const module = moduleUrl('scripted')
		expect(() => isolatedAgent({ type: 'a', module, processes: 0 })).toThrow('processes of the agent a is 0')
		expect(() => isolatedAgent({ type: 'a', module, memoryMb: 0.5 })).toThrow('memoryMb of the agent a is 0.5')
	})

	it('reports that its module exports no agent', async () => {
		const agent = isolatedAgent({ type: 'a', module: moduleUrl('no-agent') })
		await expect(agent.execute(step({}), recordingContext())).rejects.toMatchObject({
			code: 'agent_not_loaded',
			retryable: false,
		})
	})
})

describe('Slots', () => {
	it('admit waiting attempts in order when one is free, and skip those that gave up', async () => {
		const slots = new Slots(1)
		const stay = new AbortController()
		const leave = new AbortController()
		const entered: string[] = []
		const first = await slots.take(stay.signal)
		const enter = async (name: string) => {
			const slot = await slots.take(stay.signal)
			entered.push(name)
			return slot
		}
		const waiting = ['b', 'c'].map(enter)
		const left = slots.take(leave.signal)
		const last = slots.take(stay.signal)
		leave.abort(new Error('enough'))
		await expect(left).rejects.toThrow('enough')
		first[Symbol.dispose]()
		for (const next of waiting) (await next)[Symbol.dispose]()
		expect(entered).toEqual(['b', 'c'])
		using _last = await last
		expect(getEventListeners(stay.signal, 'abort')).toHaveLength(0)
		expect(getEventListeners(leave.signal, 'abort')).toHaveLength(0)
	})
})
