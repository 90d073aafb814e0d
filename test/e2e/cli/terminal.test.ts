import { existsSync } from 'node:fs'
import { stripVTControlCharacters } from 'node:util'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { clip } from '../../../cli/src/text.js'
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

const step = (step_id: string, input: object, more: object = {}) => ({
	step_id,
	action: 'work',
	agent_type: 'scripted',
	depends_on: [],
	input,
	...more,
})
const output = (text: string) => ({ output: text })
const SIZE = { columns: 40, rows: 12 }
const MARKDOWN = { text: '# Answer\n\nThe **Dead Sea** is the one that is meant, see [here](https://example.org).' }

async function create(plan: object): Promise<void> {
	const answer = await fetch(`${server.url}/api/v1/plans`, {
		method: 'POST',
		headers: { 'content-type': 'application/json' },
		body: JSON.stringify({ query: 'Which sea is the saltiest?', ...plan }),
	})
	expect(answer.status, await answer.text()).toBe(201)
}

const ESCAPE = '\u001b'

/** Lists the lines of each frame that was drawn, without escape sequences. */
function listFrames(drawn: string): string[][] {
	const frames = drawn.split(`${ESCAPE}[?7l`).slice(1)
	return frames.map((frame) => stripVTControlCharacters(frame.split(`${ESCAPE}[?7h`)[0] ?? '').split('\r\n'))
}

describe.skipIf(!existsSync('/usr/bin/script') && process.env.CI === undefined)('a terminal of 40 columns and 12 rows', () => {
	it('shows the last lines of what steps put out, and never more than it holds', async () => {
		const long = 'of the output, 海の塩分, which is longer than the terminal'
		const lines = Array.from({ length: 30 }, (_, at) => output(`line ${at} ${long}\n`))
		const hostile = output(`${ESCAPE}[2J${ESCAPE}[31mred${ESCAPE}[0m${ESCAPE}]0;title\u0007\n`)
		const steps = Array.from({ length: 4 }, (_, at) => step(`s${at}`, { updates: [...lines, hostile], hang: true }))
		await create({ plan_id: 'drawn', steps })
		await using terminal = CliProcess.inTerminal(['watch', 'drawn'], env, SIZE)
		await terminal.until(({ stdout }) => stdout.includes('      │ red'))
		await runPlanstream(['cancel', 'drawn'], env)
		const { code, stdout } = await terminal.end()
		const frames = listFrames(stdout)
		expect(code).toBe(1)
		expect(frames.filter((frame) => frame.length >= SIZE.rows)).toEqual([])
		expect(frames.flat().filter((line) => clip(line, SIZE.columns) !== line)).toEqual([])
		for (const sequence of [`${ESCAPE}[2J`, `${ESCAPE}]`, '\u0007', 'title']) expect(stdout).not.toContain(sequence)
	})

	it('renders the result at the end, and calls a step by its id when it has no name of its own', async () => {
		await create({ plan_id: 'named', steps: [step('unnamed', { result: MARKDOWN }), step('other', {}, { name: 'With a name' })] })
		await using terminal = CliProcess.inTerminal(['watch', 'named'], env, SIZE)
		const { code, stdout } = await terminal.end()
		expect(code).toBe(0)
		expect(stdout).toContain('✔ With a name')
		expect(stdout).toMatch(/✔ unnamed[^\r]*\r\n/)
		expect(stdout).toContain(
			'unnamed\r\n  Answer\r\n\r\n  The Dead Sea is the one that is meant,\r\n  see here (https://example.org).\r\n',
		)
	})

	it('says what waits for a person with the command that answers it, in watch and in list, and leaves on Ctrl-C', async () => {
		const gate = { quality: { min_score: 0.5, approve_score: 0.9 } }
		await create({ plan_id: 'held', steps: [step('a', { result: { draft: 1 }, quality_score: 0.7 }, gate)] })
		await using terminal = CliProcess.inTerminal(['watch', 'held'], env, { columns: 80, rows: 24 })
		await terminal.until(({ stdout }) => stdout.includes('planstream review held a.1 approve'))
		expect(terminal.stdout).toContain('held · running · waits for you · 0 of 1 steps')
		terminal.child.stdin.write('\u0003')
		const { code, stdout } = await terminal.end()
		expect(code).toBe(130)
		expect(stdout.lastIndexOf(`${ESCAPE}[?25h`)).toBeGreaterThan(stdout.lastIndexOf(`${ESCAPE}[?25l`))
		const { stdout: listed } = await runPlanstream(['list', '--query', 'saltiest'], env)
		expect(listed).toMatch(/^held {3}waits for you {4}0 %/m)
		expect(listed).toContain('\n  planstream review held a.1 approve  (or reject, edit)\n')
		expect((await runPlanstream(['review', 'held', 'a.1', 'approve'], env)).code).toBe(0)
	})

	it('prints lines that only add up when the terminal is dumb', async () => {
		await create({ plan_id: 'dumb', steps: [step('a', { updates: [output('one\ntw'), output('o\n')] })] })
		await using terminal = CliProcess.inTerminal(['watch', 'dumb'], { ...env, TERM: 'dumb' }, SIZE)
		const { stdout } = await terminal.end()
		expect(stdout).not.toContain(ESCAPE)
		expect(stdout).toContain('a | one\r\na | two\r\na: completed')
	})
})

describe('a pipe', () => {
	it('gets a line for each thing that happened, and the result as it was written', async () => {
		const updates = [
			{ progress: 0.04, message: 'one of 25' },
			{ progress: 0.08, message: 'two' },
			{ progress: 0.5, message: 'half' },
		]
		const plan = {
			plan_id: 'piped',
			steps: [step('a', { updates: [...updates, output('10 %\r20 %\rdone')], result: MARKDOWN }, { name: 'Collect' })],
		}
		const { code, stdout, stderr } = await new CliProcess(['run', '-'], env)
			.input(JSON.stringify({ query: 'Which sea?', ...plan }))
			.end()
		expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
		expect(stdout.replace(/ in [\d.]+ m?s$/gm, '')).toBe(`piped: created with 1 step: Which sea?
piped: started
a: started (Collect)
a | done
a: completed
piped: completed

${MARKDOWN.text}
`)
	})

	it('gets colours when FORCE_COLOR asks for them, and none otherwise', async () => {
		await create({ plan_id: 'coloured', steps: [step('a', {})] })
		await runPlanstream(['watch', 'coloured'], env)
		expect((await runPlanstream(['show', 'coloured'], env)).stdout).not.toContain(ESCAPE)
		const forced = await new CliProcess(['show', 'coloured'], { ...env, NO_COLOR: '', FORCE_COLOR: '1' }).end()
		expect(forced.stdout).toContain(`${ESCAPE}[32mcompleted${ESCAPE}[39m`)
	})
})
