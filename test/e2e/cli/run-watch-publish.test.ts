import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { CliProcess, createTemporaryDirectory, runPlanstream, startServe } from '../../support/cli-process.js'

/** Each test starts several processes. */
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })

const directory = createTemporaryDirectory()
let server: Awaited<ReturnType<typeof startServe>>
let env: Record<string, string>

beforeAll(async () => {
	server = await startServe(directory.path)
	env = { PLANSTREAM_URL: server.url }
})

afterAll(async () => {
	await server[Symbol.asyncDispose]()
	directory[Symbol.dispose]()
})

const QUARTERS = { updates: [0.25, 0.5, 0.75].map((progress) => ({ progress })) }
const ids = ['step_1', 'step_2', 'step_3']

function plan(plan_id: string, input: object = QUARTERS): string {
	return JSON.stringify({
		plan_id,
		query: 'Why?',
		steps: ids.map((step_id) => ({ step_id, action: 'work', agent_type: 'scripted', input })),
	})
}

const lines = (...events: object[]) => events.map((event) => `${JSON.stringify(event)}\n`).join('')
const progress = (at: number, event_id?: string) => ({
	event_id,
	event_type: 'step_progress',
	step_id: 'a',
	data: { progress: at },
})
const COMPLETED = { event_type: 'plan_completed', data: {} }
const publish = (plan_id: string, ...events: object[]) =>
	new CliProcess(['publish', plan_id, '--json'], env).input(lines(...events)).end()

describe('planstream run', () => {
	it('prints each event of the plan on a line of its own and nothing else, and exits with 0', async () => {
		const { code, json, stderr } = await new CliProcess(['run', '-', '--json'], env).input(plan('run_1')).end()
		expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
		const step = ['step_started', 'step_progress', 'step_progress', 'step_progress', 'step_completed']
		expect(json.map(({ event_type }) => event_type)).toEqual([
			'plan_created',
			'plan_started',
			...step,
			...step,
			...step,
			'plan_completed',
		])
		expect(json.map(({ seq }) => seq)).toEqual(json.map((_, at) => at + 1))
	})

	it('prints the reason on standard error and exits with 1 when the plan fails', async () => {
		const fail = { fail: { times: 1, code: 'upstream', message: 'The source is gone.', retryable: false } }
		const { code, json, stderr } = await new CliProcess(['run', '-', '--json'], env).input(plan('run_2', fail)).end()
		expect(code).toBe(1)
		expect(json.at(-1)).toMatchObject({ event_type: 'plan_failed' })
		expect(stderr).toContain('Step step_1 failed: upstream: The source is gone.')
	})

	it.each([
		[[], 'missing required argument'],
		[['nowhere.json'], 'nowhere.json does not exist. Give the path of a file, or - for standard input.'],
		[['-'], 'Standard input is not JSON'],
		[['-', '--url', 'here'], 'Invalid server address "here"'],
		[['-', '--url', 'http://user:secret@127.0.0.1:3000'], 'The server address has a user, a query or a fragment'],
		[['-', '--url', 'http://127.0.0.1:3000/?token=secret'], 'The server address has a user, a query or a fragment'],
		[['-', '--colour'], "unknown option '--colour'"],
	])('prints the reason and exits with 2 for %j', async (args, sentence) => {
		const { code, stdout, stderr } = await new CliProcess(['run', ...args], env)
			.input(args.includes('--url') ? plan('p') : '')
			.end()
		expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
		expect(stderr).toContain(sentence)
		expect(stderr).not.toContain('secret')
	})

	it('prints the path and exits with 2 when the server refuses the plan', async () => {
		const { code, stderr } = await new CliProcess(['run', '-'], env).input('{"query":"Why?","steps":[{}]}').end()
		expect(code).toBe(2)
		expect(stderr).toContain('steps[0].step_id')
	})

	it('explains how to start a server and exits with 2 when none answers', async () => {
		const { code, stderr } = await new CliProcess(['run', '-', '--url', 'http://127.0.0.1:9'], env).input(plan('p')).end()
		expect(code).toBe(2)
		expect(stderr).toContain('Start one with `planstream serve`')
	})
})

describe('planstream watch', () => {
	it('prints all events from the beginning when it joins a running plan', async () => {
		await using runner = new CliProcess(['run', '-', '--json'], env).input(
			plan('watch_1', { updates: [...QUARTERS.updates, { wait_ms: 200 }] }),
		)
		await runner.until(({ lines }) => lines.length > 3)
		const watched = await runPlanstream(['watch', 'watch_1', '--json'], env)
		expect(watched.stdout).toBe((await runner.end()).stdout)
		expect(watched.code).toBe(0)
	})

	it('prints only the events after --after, and exits by the outcome of the plan', async () => {
		await new CliProcess(['run', '-'], env).input(plan('watch_2')).end()
		const { code, json } = await runPlanstream(['watch', 'watch_2', '--after', '16', '--json'], env)
		expect({ code, seqs: json.map(({ seq }) => seq) }).toEqual({ code: 0, seqs: [17, 18] })
		expect(await runPlanstream(['watch', 'watch_2', '--after', 'now'], env)).toMatchObject({ code: 0, stdout: '' })
	})

	it('prints that it waits when the plan does not exist yet', async () => {
		await using watcher = new CliProcess(['watch', 'watch_3', '--json'], env)
		await watcher.until(({ stderr }) => stderr.includes('Plan watch_3 does not exist yet'))
		await publish('watch_3', COMPLETED)
		expect(await watcher.end()).toMatchObject({ code: 0, json: [{ event_type: 'plan_completed' }] })
	})

	it('draws the present state of a plan when its history was cleared', async () => {
		await publish('watch_6', { event_type: 'plan_started', data: { query: 'What is left?', total_steps: 1 } }, COMPLETED)
		expect((await runPlanstream(['clear', 'watch_6'], env)).code).toBe(0)
		await using terminal = CliProcess.inTerminal(['watch', 'watch_6'], env)
		const { code, stdout } = await terminal.end()
		expect(code).toBe(0)
		expect(stdout).toContain('What is left?\r\nwatch_6 · completed · 0 of 0 steps')
		expect(await runPlanstream(['watch', 'watch_6', '--json'], env)).toMatchObject({
			code: 0,
			stdout: '',
			stderr: 'Events are missing here (cleared); continuing from event 3.\n',
		})
	})

	it('follows a finished plan when --follow is given, and exits quietly with 130 on Ctrl-C', async () => {
		const failed = { event_type: 'plan_failed', data: { error: { code: 'x', message: 'broken', retryable: true } } }
		await publish('watch_4', failed)
		await using watcher = new CliProcess(['watch', 'watch_4', '--follow', '--json'], env)
		await watcher.until(({ lines }) => lines.length === 1)
		await publish('watch_4', { event_type: 'plan_resumed', data: { reason: 'retry' } })
		await watcher.until(({ lines }) => lines.length === 2)
		watcher.child.kill('SIGINT')
		expect(await watcher.end()).toMatchObject({ code: 130, stderr: 'Plan watch_4 failed: x: broken\n' })
	})

	it('exits quietly when its reader closes the pipe, as head does', async () => {
		await publish('watch_5', progress(0.1))
		await using watcher = new CliProcess(['watch', 'watch_5'], env)
		await watcher.until(({ lines }) => lines.length === 1)
		watcher.child.stdout.destroy()
		await publish('watch_5', { event_type: 'step_started', step_id: 'b', data: {} })
		expect(await watcher.end()).toMatchObject({ code: 0, stderr: '' })
	})
})

describe('planstream publish', () => {
	it('publishes lines as they arrive, prints what is stored, and other readers receive it', async () => {
		await using publisher = new CliProcess(['publish', 'publish_1', '--json'], env)
		publisher.child.stdin.write(lines(progress(0.5)))
		await publisher.until(({ lines }) => lines.length === 1)
		publisher.input(lines(progress(0.75, 'mine'), COMPLETED))
		const { code, json, stderr } = await publisher.end()
		expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
		expect(json.map(({ seq, duplicate }) => [seq, duplicate])).toEqual([1, 2, 3].map((seq) => [seq, false]))
		expect(json[1]).toMatchObject({ event_id: 'mine' })
		const watched = await runPlanstream(['watch', 'publish_1', '--json'], env)
		expect(watched.json.map(({ event_id }) => event_id)).toEqual(json.map(({ event_id }) => event_id))
	})

	it('publishes an array from a file in as many batches as it needs', async () => {
		const file = path.join(directory.path, 'events.json')
		writeFileSync(file, JSON.stringify(Array.from({ length: 600 }, (_, at) => progress(at / 600))))
		const { code, json } = await runPlanstream(['publish', 'publish_2', file, '--json'], env)
		expect({ code, seqs: json.map(({ seq }) => seq) }).toEqual({ code: 0, seqs: Array.from({ length: 600 }, (_, at) => at + 1) })
	})

	it('stores an event once when it is published again, also among new ones', async () => {
		await publish('publish_3', progress(0.1, 'a'), progress(0.2, 'b'))
		const { code, json } = await publish('publish_3', progress(0.2, 'b'), progress(0.3, 'c'))
		expect(code).toBe(0)
		expect(json).toEqual([
			{ event_id: 'b', seq: 2, duplicate: true },
			{ event_id: 'c', seq: 3, duplicate: false },
		])
	})

	it('names the line that the server refuses, and what was stored before it', async () => {
		await using publisher = new CliProcess(['publish', 'publish_4', '--json'], env)
		publisher.child.stdin.write(lines(progress(0.1)))
		await publisher.until(({ lines }) => lines.length === 1)
		const { code, stderr } = await publisher.input(lines(progress(0.2), progress(7))).end()
		expect(code).toBe(2)
		expect(stderr).toContain('The first 1 events are stored')
		expect(stderr).toContain('Standard input, line 3: events[1].data.progress must be at most 1')
	})
})
