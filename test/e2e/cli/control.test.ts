import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { PLAN_COMMANDS, STEP_COMMANDS } from '../../../server/src/plans/rules/input.js'
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

const step = (step_id: string, input: object = {}, more: object = {}) => ({
	step_id,
	action: 'work',
	agent_type: 'scripted',
	input,
	...more,
})
const HANGING = { updates: [{ progress: 0.5 }], hang: true }

/** A plan that is followed by `run` in the background until it shows an event. */
async function following(plan: object, event_type: string): Promise<CliProcess> {
	const runner = new CliProcess(['run', '-', '--json'], env).input(JSON.stringify({ query: 'Why?', ...plan }))
	await shows(runner, event_type)
	return runner
}

const shows = (runner: CliProcess, event_type: string) =>
	runner.until(({ lines }) => lines.some((line) => line.includes(`"event_type":"${event_type}"`)))

function file(name: string, content: unknown): string {
	const written = path.join(directory.path, name)
	writeFileSync(written, JSON.stringify(content))
	return written
}

/** What a command answers, when it succeeds without a word for people. */
async function answer(...args: string[]): Promise<unknown> {
	const { code, stderr, json } = await runPlanstream([...args, '--json'], env)
	expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
	return json[0]
}

describe('planstream in a second terminal', () => {
	it('pauses, edits and resumes a plan, and the terminal that runs it prints each event', async () => {
		await using runner = await following({ plan_id: 'p1', steps: [step('a', HANGING), step('b')] }, 'step_progress')
		expect(await answer('pause', 'p1', '--interrupt', '--reason', 'wait')).toMatchObject({ plan_id: 'p1', changed: true })
		await shows(runner, 'plan_paused')
		const edit = [
			{ op: 'update_step', step_id: 'a', patch: { input: { result: { better: true } } } },
			{ op: 'add_step', step: step('c') },
		]
		const edits = file('edit.json', edit)
		expect(await answer('modify', 'p1', edits, '--expected-revision', '1')).toMatchObject({ status: 'paused', revision: 2 })
		const stale = await runPlanstream(['modify', 'p1', edits, '--expected-revision', '1'], env)
		expect(stale).toMatchObject({ code: 2, stdout: '' })
		expect(stale.stderr).toContain('The plan is at revision 2, not 1')
		expect(await answer('resume', 'p1')).toMatchObject({ status: 'running' })
		const { code, json } = await runner.end()
		expect(code).toBe(0)
		const own = json.filter(({ event_type }) => String(event_type).startsWith('plan_')).map(({ event_type }) => event_type)
		expect(own).toEqual([
			'plan_created',
			'plan_started',
			'plan_pausing',
			'plan_paused',
			'plan_modified',
			'plan_resumed',
			'plan_completed',
		])
		expect(json.find(({ event_type }) => event_type === 'plan_pausing')).toMatchObject({
			actor: { type: 'user' },
			data: { reason: 'wait', mode: 'interrupt' },
		})
		expect(await answer('show', 'p1')).toMatchObject({ status: 'completed', revision: 2, steps: [{}, {}, { step_id: 'c' }] })
	})

	it('shows a step that waits for a review and answers it with a result of its own', async () => {
		const gate = { quality: { min_score: 0.5, approve_score: 0.9 } }
		const input = { result: { draft: 1 }, quality_score: 0.7 }
		await using runner = await following({ plan_id: 'p2', steps: [step('a', input, gate)] }, 'review_required')
		expect(await answer('review', 'p2')).toMatchObject({ review_id: 'a.1', payload: { data: { draft: 1 } } })
		const edited = file('result.json', { final: 2 })
		expect(await answer('review', 'p2', 'a.1', 'edit', '--payload', edited, '--comment', 'mine')).toMatchObject({
			status: 'completed',
		})
		expect((await runner.end()).json.at(-1)).toMatchObject({ data: { result: { a: { final: 2 } } } })
		const again = await runPlanstream(['review', 'p2', 'a.1', 'approve'], env)
		expect(again.code).toBe(2)
		expect(again.stderr).toContain('Review a.1 is resolved')
		expect((await runPlanstream(['review', 'p2'], env)).stderr).toBe('Plan p2 has no open review.\n')
	})

	it('retries a failed step, skips another, cancels and clones', async () => {
		const fail = { fail: { times: 1, code: 'x', message: 'no', retryable: false } }
		const plan = { plan_id: 'p3', steps: [step('a', fail), step('b', HANGING), step('c', {}, { depends_on: [] })] }
		await using runner = await following(plan, 'plan_failed')
		expect((await runner.end()).code).toBe(1)
		expect(await answer('retry', 'p3', 'a', '--cascade')).toMatchObject({ status: 'running' })
		await using watcher = new CliProcess(['watch', 'p3', '--follow', '--json'], env)
		await shows(watcher, 'step_progress')
		expect(await answer('cancel', 'p3', '--reason', 'enough')).toMatchObject({ status: 'cancelling' })
		await shows(watcher, 'plan_cancelled')
		expect(await answer('clone', 'p3', '--id', 'p4', '--no-start')).toMatchObject({ plan_id: 'p4', status: 'pending' })
		expect(await answer('skip', 'p4', 'b', '--reason', 'not needed')).toMatchObject({ status: 'pending' })
		expect(await answer('clone', 'p4', '--id', 'p5', '--no-start')).toMatchObject({ status: 'pending' })
		expect(await answer('start', 'p5')).toMatchObject({ status: 'running', changed: true })
		expect(await answer('retry', 'p3')).toMatchObject({ status: 'running' })
		expect(await answer('cancel', 'p3')).toMatchObject({ changed: true })
	})

	it('has a command for every word that a refusal allows', async () => {
		const { stdout } = await runPlanstream(['--help'], env)
		const words = [...stdout.matchAll(/^ {2}(\w+)/gm)].map(([, word]) => word)
		expect(words).toEqual(expect.arrayContaining([...PLAN_COMMANDS, ...STEP_COMMANDS]))
	})

	it('lists one plan a line, filtered by state, label and query', async () => {
		const plan = (plan_id: string, team: string) =>
			runPlanstream(
				['run', file(`${plan_id}.json`, { plan_id, query: `Which ${plan_id}?`, labels: { team }, steps: [step('a')] })],
				env,
			)
		await plan('list_1', 'red')
		await plan('list_2', 'blue')
		const listed = async (...args: string[]) =>
			(await runPlanstream(['list', ...args, '--json'], env)).json.map(({ plan_id }) => plan_id)
		expect(await listed('--label', 'team=red')).toEqual(['list_1'])
		expect(await listed('--query', 'WHICH LIST', '--status', 'completed', 'failed')).toEqual(['list_2', 'list_1'])
		const first = await runPlanstream(['list', '--query', 'which list', '--limit', '1'], env)
		expect(first.stderr).toContain('raise --limit to see them')
		expect((await runPlanstream(['list', '--query', 'nothing like it'], env)).stderr).toBe('No plan matches.\n')
	})

	it.each([
		[['retry', 'p1', '--cascade'], '--cascade needs a step'],
		[['review', 'p1', 'a.1'], 'The review a.1 needs a decision: approve, reject, edit.'],
		[['review', 'p1', 'a.1', 'maybe'], 'Allowed choices are approve, reject, edit'],
		[['modify', 'p1', 'nowhere.json'], 'nowhere.json does not exist'],
		[['resume', 'p1'], 'Plan p1 is completed, so resume was refused. Allowed now: clone, clear, delete.'],
		[['retry', 'p4', 'c'], 'Step c is ready, so retry was refused. Allowed now: skip.'],
		[['pause', 'unknown'], 'There is no plan unknown. Check the id'],
		[['list', '--limit', 'all'], 'It must be a whole number above 0'],
		[['lst'], '(Did you mean list?)'],
		[['list', '--statsu', 'failed'], '(Did you mean --status?)'],
		[['list', '--status', 'runing'], 'cancelled.\n(Did you mean running?)'],
		[['review', 'p1', 'a.1', 'aprove'], '(Did you mean approve?)'],
	])('prints the reason and exits with 2 for %j', async (args, sentence) => {
		const { code, stdout, stderr } = await runPlanstream(args, env)
		expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
		expect(stderr).toContain(sentence)
	})
})

describe('in a terminal', () => {
	it('draws the plan for show, one line a plan for list, and the state of the plan after a command', async () => {
		await using show = CliProcess.inTerminal(['show', 'p1'], env)
		expect((await show.end()).stdout).toContain('p1 · completed · 3 of 3 steps')
		await using list = CliProcess.inTerminal(['list', '--query', 'list_1'], env)
		expect((await list.end()).stdout).toMatch(/list_1 +completed +100 %/)
		await using cancel = CliProcess.inTerminal(['clone', 'p1', '--id', 't2', '--no-start'], env)
		expect((await cancel.end()).stdout).toContain('Plan t2 is pending at revision 1. See it with: planstream show t2')
	})
})
