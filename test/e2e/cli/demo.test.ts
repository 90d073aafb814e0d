import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { expect, it, vi } from 'vitest'
import { CliProcess, createTemporaryDirectory, runPlanstream, startServe } from '../../support/cli-process.js'

/** Each test starts several processes. */
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })

const QUESTION = 'How salty is the Dead Sea?'

function corpus(directory: string, texts: Record<string, string>): string {
	const folder = path.join(directory, 'corpus')
	mkdirSync(folder)
	for (const [name, text] of Object.entries(texts)) writeFileSync(path.join(folder, name), text)
	return folder
}

const SEAS = {
	'lakes.md': '# Lakes\n\nThe Dead Sea is a salty lake: about a third of its water is salt, so the Dead Sea carries a swimmer.\n',
	'salt.md': '# Salt\n\nNo sea is as salty as the Dead Sea, where salt crystals grow on every stone of the shore.\n',
}

/** Options of Node that let a process find port 3000 taken, whoever has it: there, it listens on the port of this address. */
function withPort3000At(url: string): string {
	const script = `
		import { Server } from 'node:net'
		const { listen } = Server.prototype
		Server.prototype.listen = function (port, ...rest) {
			return listen.call(this, port === 3000 ? ${new URL(url).port} : port, ...rest)
		}`
	return `--import=data:text/javascript,${encodeURIComponent(script)}`
}

it('researches a folder, prints every event, and writes a report that quotes it', async () => {
	using directory = createTemporaryDirectory()
	const folder = corpus(directory.path, SEAS)
	const env = { PORT: '0', PLANSTREAM_DATA: path.join(directory.path, 'data') }
	const { code, json, stderr } = await runPlanstream(
		['demo', '--corpus', folder, '--question', QUESTION, '--exit', '--json'],
		env,
	)
	expect({ code, stderr }).toMatchObject({ code: 0 })
	expect(json.at(-1)).toMatchObject({ event_type: 'plan_completed', seq: json.length })
	const { plan_id } = json[0] as { plan_id: string }
	expect(stderr).toMatch(new RegExp(`curl -N http://127.0.0.1:\\d+/api/v1/streaming/plans/${plan_id}/events`))
	const [, file = ''] = /^Report: (.+)$/m.exec(stderr) ?? []
	expect(readFileSync(file, 'utf8')).toContain('> No sea is as salty as the Dead Sea')
	expect(stderr).toMatch(/^Covered: 1 of 1 question$/m)
})

it('gives the answers it has, says which questions have none, and exits with 0', async () => {
	using directory = createTemporaryDirectory()
	const folder = corpus(directory.path, SEAS)
	const env = { PORT: '0', PLANSTREAM_DATA: path.join(directory.path, 'data') }
	const others = ['--question', 'How do penguins sleep?', '--question', 'Which swimmer is carried by a lake?']
	const { code, stdout, stderr } = await runPlanstream(
		['demo', '--corpus', folder, '--question', QUESTION, ...others, '--exit'],
		env,
	)
	expect({ code, stderr }).toMatchObject({ code: 0 })
	expect(stderr).toContain(`Covered: 1 of 3 questions
  not fully: How do penguins sleep?
  not fully: Which swimmer is carried by a lake?
`)
	expect(stdout).toContain('report | > No sea is as salty as the Dead Sea')
	expect(stdout).toContain('report | - [2] `salt.md`, line 3, bytes 8 to 97')
	expect(stdout).toContain(
		'report | Not covered: no sentence has enough words of this question. Words that occur nowhere: penguins, sleep.',
	)
	expect(stdout).toContain('report | Partly covered: one quote from one document.')
	expect(stdout + stderr).not.toMatch(/\d\.\d{3}|quality 1\.00/)
})

it('prints the reason and exits with 1 when the folder does not answer the question', async () => {
	using directory = createTemporaryDirectory()
	const folder = corpus(directory.path, { 'cats.md': '# Cats\n\nA cat sleeps for most of the day.\n' })
	const env = { PORT: '0', PLANSTREAM_DATA: path.join(directory.path, 'data') }
	const { code, stdout, stderr } = await runPlanstream(['demo', '--corpus', folder, '--question', QUESTION, '--exit'], env)
	expect(code).toBe(1)
	expect(stderr).toContain(
		`Nothing in the documents of ${folder} answers the question. Ask in their words, or name another folder.`,
	)
	expect(stdout).toContain('\ncrosscheck: failed: ')
	expect(stdout).toContain('The check coverage has 0.00, below 0.005.')
})

it('researches a folder of 2,000 documents, and names the limit for one more', async () => {
	using directory = createTemporaryDirectory()
	const many = Array.from({ length: 1998 }, (_, at) => [`note-${at}.md`, `# Note ${at}\n\nNote ${at} is about nothing.\n`])
	const folder = corpus(directory.path, { ...SEAS, ...Object.fromEntries(many) })
	const env = { PORT: '0', PLANSTREAM_DATA: path.join(directory.path, 'data') }
	const args = ['demo', '--corpus', folder, '--question', QUESTION, '--exit']
	const { code, stdout, stderr } = await runPlanstream(args, env)
	expect({ code, stderr }).toMatchObject({ code: 0 })
	expect(stdout).toContain('report | 2000 documents, ')
	writeFileSync(path.join(folder, 'one-more.md'), '')
	const refused = await runPlanstream(args, env)
	expect(refused.code).toBe(1)
	expect(refused.stdout).toContain(
		'The corpus folder has more than 2000 text files; a plan reads at most 2000. Name a folder below',
	)
})

it('says that its questions are not about a folder when none was asked', async () => {
	using directory = createTemporaryDirectory()
	const folder = corpus(directory.path, SEAS)
	const env = { PORT: '0', PLANSTREAM_DATA: path.join(directory.path, 'data') }
	const { code, stderr } = await runPlanstream(['demo', '--corpus', folder, '--exit'], env)
	expect(code).toBe(1)
	expect(stderr).toContain('The questions are about Planstream, because none was given. Ask yours with --question "...".')
	expect(stderr).toContain(`Nothing in the documents of ${folder} answers any of the questions.`)
})

it('prints a free port and uses it when PORT is not set and port 3000 is taken', async () => {
	using directory = createTemporaryDirectory()
	const folder = corpus(directory.path, SEAS)
	await using other = await startServe(path.join(directory.path, 'other'))
	const env = { PLANSTREAM_DATA: path.join(directory.path, 'data'), NODE_OPTIONS: withPort3000At(other.url) }
	const { code, stderr } = await runPlanstream(['demo', '--corpus', folder, '--question', QUESTION, '--exit', '--json'], env)
	expect({ code, stderr }).toMatchObject({ code: 0 })
	expect(stderr).toContain('Port 3000 is in use')
})

it('uses a directory of its own when a server has the default one open', async () => {
	using directory = createTemporaryDirectory()
	const folder = corpus(directory.path, SEAS)
	await using _other = await startServe(path.join(directory.path, '.planstream'))
	const args = ['demo', '--corpus', folder, '--question', QUESTION, '--exit', '--json']
	await using demo = CliProcess.inFolder(directory.path, args, { PORT: '0', TMPDIR: directory.path })
	const { code, stderr } = await demo.end()
	expect({ code, stderr }).toMatchObject({ code: 0 })
	expect(stderr).toContain(`A server has .planstream open, so the demo uses ${directory.path}/planstream-demo-`)
})

it('refuses to start when the named port is taken', async () => {
	using directory = createTemporaryDirectory()
	await using other = await startServe(path.join(directory.path, 'other'))
	const env = { PORT: new URL(other.url).port, PLANSTREAM_DATA: path.join(directory.path, 'data') }
	const { code, stderr } = await runPlanstream(['demo', '--corpus', corpus(directory.path, SEAS), '--exit'], env)
	expect(code).toBe(2)
	expect(stderr).toContain('is in use by another program')
})

it('refuses a folder when it does not exist', async () => {
	expect(await runPlanstream(['demo', '--corpus', 'nowhere'])).toMatchObject({ code: 2, stdout: '' })
})

it.skipIf(!existsSync('/usr/bin/script'))(
	'draws the plan in a terminal, continues to serve, and exits with 0 on Ctrl-C',
	async () => {
		using directory = createTemporaryDirectory()
		const folder = corpus(directory.path, SEAS)
		const env = { PORT: '0', PLANSTREAM_DATA: path.join(directory.path, 'data') }
		await using terminal = CliProcess.inTerminal(['demo', '--corpus', folder, '--question', QUESTION], env)
		await terminal.until(({ lines }) => lines.some((line) => line.includes('Press Ctrl-C to stop it')))
		const drawn = terminal.lines.join('\n')
		expect(drawn).toContain('completed · 6 of 6 steps')
		expect(drawn).toContain('✔ Write the report')
		terminal.child.stdin.write('\u0003')
		expect((await terminal.end()).code).toBe(0)
	},
)
