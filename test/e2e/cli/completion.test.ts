import { existsSync } from 'node:fs'
import { stripVTControlCharacters } from 'node:util'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { CliProcess, createTemporaryDirectory, runPlanstream, startServe } from '../../support/cli-process.js'

/** Each test starts several processes. */
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })

const directory = createTemporaryDirectory()
let server: Awaited<ReturnType<typeof startServe>>
let env: Record<string, string>

beforeAll(async () => {
	server = await startServe(`${directory.path}/data`)
	env = { PLANSTREAM_URL: server.url }
	const step = { action: 'work', agent_type: 'scripted' }
	const steps = [
		{ ...step, step_id: 'collect', name: 'Collect the figures' },
		{ ...step, step_id: 'compare', input: { quality_score: 0.7 }, quality: { min_score: 0.5, approve_score: 0.9 } },
	]
	const plan = { plan_id: 'unlikely_name', query: 'Why?', steps }
	await using runner = new CliProcess(['run', '-'], env).input(JSON.stringify(plan))
	await runner.until(({ lines }) => lines.some((line) => line.includes('waits for you')))
})

afterAll(async () => {
	await server[Symbol.asyncDispose]()
	directory[Symbol.dispose]()
})

/** Suggests values for the last word. */
async function suggest(words: readonly string[], more: Record<string, string> = env): Promise<string[]> {
	const { code, stdout, stderr } = await runPlanstream(['complete', '--', ...words], more)
	expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
	return stdout.split('\n').flatMap((line) => line.split('\t')[0] || [])
}

describe('completion', () => {
	it.each([
		['commands', ['re'], ['resume', 'retry', 'review', 'result']],
		['commands of a command', ['keys', 're'], ['revoke']],
		['options', ['pause', 'x', '--i'], ['--interrupt']],
		['values of an option', ['list', '--status', 'pa'], ['pausing', 'paused']],
		['values behind an equals sign', ['list', '--status=run'], ['--status=running']],
		['values behind an equals sign that bash has split off', ['list', '--status', '=', 'run'], ['running']],
		['values of an argument', ['completion', 'z'], ['zsh']],
		['files', ['run', ''], [':files']],
		['folders', ['verify', '--data', ''], [':folders']],
		['plans', ['show', 'unl'], ['unlikely_name']],
		['further plans', ['delete', 'x', ''], ['unlikely_name']],
		['steps', ['retry', 'last', ''], ['collect', 'compare']],
		['reviews', ['review', 'unlikely', ''], ['compare.1']],
		['decisions', ['review', 'unlikely', 'compare.1', 'a'], ['approve']],
		['nothing behind the last argument', ['show', 'x', ''], []],
	])('suggests %s', async (_what, words, values) => {
		expect(await suggest(words)).toEqual(values)
	})

	it('suggests no plans and says nothing when no server answers', async () => {
		expect(await suggest(['show', ''], { PLANSTREAM_URL: 'http://127.0.0.1:9' })).toEqual([])
	})
})

const shows = (text: string) => (terminal: CliProcess) => stripVTControlCharacters(terminal.stdout).includes(text)

const isMissing = (program: string) =>
	(!existsSync(`/usr/bin/${program}`) || !existsSync('/usr/bin/script')) && process.env.CI === undefined

describe.each([
	['bash', 'bash --norc --noprofile -i', 'source <(planstream completion bash)'],
	['zsh', 'zsh -f -i', 'autoload -U compinit; compinit -u -D; source <(planstream completion zsh)'],
])('%s', (shell, start, load) => {
	it.skipIf(isMissing(shell))('completes a command and the id of a plan when it is installed', async () => {
		await using terminal = CliProcess.inShell(start, directory.path, env)
		terminal.child.stdin.write(`${load}; PS1='rea''dy> '\n`)
		await terminal.until(shows('ready> '))
		terminal.child.stdin.write('planstream verif\t')
		await terminal.until(shows('planstream verify'))
		terminal.child.stdin.write('unli\t')
		await terminal.until(shows('unlikely_name'))
		terminal.child.stdin.write('\u0003exit\n')
	})
})

it.skipIf(isMissing('fish'))('fish completes a command and the id of a plan when it is installed', async () => {
	const ask = (line: string) => `complete -C '${line}'`
	const script = `planstream completion fish | source; ${ask('planstream verif')}; ${ask('planstream show unli')}`
	await using terminal = CliProcess.inShell(`fish --no-config -c "${script}"`, directory.path, env)
	const { stdout } = await terminal.end()
	expect(stdout).toContain('verify\tcheck every stored event')
	expect(stdout).toContain('unlikely_name\trunning: Why?')
})
