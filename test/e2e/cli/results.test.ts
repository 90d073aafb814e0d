import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { CliProcess, createTemporaryDirectory, runPlanstream, startServe } from '../../support/cli-process.js'

/** Each test starts several processes. */
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })

const directory = createTemporaryDirectory()
let server: Awaited<ReturnType<typeof startServe>>
let env: Record<string, string>

const NOTES = '# Notes\n\n\u001b[31mred\n'
const DIGEST = createHash('sha256').update(NOTES).digest('hex')

beforeAll(async () => {
	server = await startServe(directory.path)
	env = { PLANSTREAM_URL: server.url }
	const file = (name: string, media_type: string) => ({ artifact: { name, text: NOTES, media_type } })
	const steps = [
		{ step_id: 'a', input: { updates: [file('notes.md', 'text/markdown')], result: { rows: 3, tags: ['x', 'y'] } } },
		{
			step_id: 'b',
			depends_on: [],
			input: { updates: [file('my data.bin', 'application/octet-stream')], result: { text: 'done' } },
		},
	].map((step) => ({ action: 'work', agent_type: 'scripted', ...step }))
	const run = (plan_id: string) =>
		new CliProcess(['run', '-'], env).input(JSON.stringify({ plan_id, query: 'Why?', steps })).end()
	for (const plan_id of ['made_1', 'made_2', 'made_21']) expect((await run(plan_id)).code).toBe(0)
})

afterAll(async () => {
	await server[Symbol.asyncDispose]()
	directory[Symbol.dispose]()
})

describe('planstream result', () => {
	it('prints the fields of a result by name, and one text as that text', async () => {
		expect((await runPlanstream(['result', 'made_1', 'a'], env)).stdout).toBe('rows: 3\ntags:\n  - x\n  - y\n')
		expect((await runPlanstream(['result', 'made_1', 'b'], env)).stdout).toBe('done\n')
		expect((await runPlanstream(['result', 'made_1'], env)).stdout).toBe('a\n  rows: 3\n  tags:\n    - x\n    - y\n\nb\n  done\n')
	})

	it('prints the answer of the server as one document when --json is given', async () => {
		const { json } = await runPlanstream(['result', 'made_1', '--json'], env)
		expect(json).toEqual([{ plan_id: 'made_1', result: { a: { rows: 3, tags: ['x', 'y'] }, b: { text: 'done' } } }])
		const [step] = (await runPlanstream(['result', 'made_1', 'b', '--json'], env)).json
		expect(step).toEqual({ plan_id: 'made_1', step_id: 'b', attempt: 1, result: { text: 'done' } })
	})

	it('exits with 2 when there is no such step', async () => {
		const { code, stdout, stderr } = await runPlanstream(['result', 'made_1', 'c'], env)
		expect({ code, stdout, stderr }).toEqual({ code: 2, stdout: '', stderr: 'planstream: Plan made_1 has no step c.\n' })
	})
})

describe('planstream artifact', () => {
	it('lists the files of a plan, each with the command that fetches it', async () => {
		const { stdout } = await runPlanstream(['artifact', 'made_1'], env)
		expect(stdout).toBe(`notes.md, ${NOTES.length} B, text/markdown
  planstream artifact made_1 a notes.md
my data.bin, ${NOTES.length} B, application/octet-stream
  planstream artifact made_1 b 'my data.bin'
`)
		const { json } = await runPlanstream(['artifact', 'made_1', 'a', '--json'], env)
		expect(json).toEqual([
			{ step_id: 'a', artifact_id: DIGEST, name: 'notes.md', media_type: 'text/markdown', bytes: NOTES.length },
		])
	})

	it('writes the bytes of a file to a pipe or to a file, by its name or the start of its digest', async () => {
		expect((await runPlanstream(['artifact', 'made_1', 'b', 'my data.bin'], env)).stdout).toBe(NOTES)
		const target = path.join(directory.path, 'target.md')
		const { code, stdout } = await runPlanstream(['artifact', 'made_1', 'a', DIGEST.slice(0, 6), '-o', target], env)
		expect({ code, stdout, text: readFileSync(target, 'utf8') }).toEqual({ code: 0, stdout: '', text: NOTES })
		expect(readdirSync(directory.path).filter((name) => name.endsWith('.part'))).toEqual([])
	})

	it('shows text in a terminal without its escape sequences, and refuses to show anything else there', async () => {
		await using text = CliProcess.inTerminal(['artifact', 'made_1', 'a', 'notes.md'], env)
		expect((await text.end()).stdout).toBe('# Notes\r\n\r\nred\r\n\r\n')
		await using binary = CliProcess.inTerminal(['artifact', 'made_1', 'b', 'my data.bin'], env)
		expect(await binary.end()).toMatchObject({ code: 2, stdout: expect.stringContaining("-o 'my data.bin'") as string })
	})

	it.each([
		[['made_1', 'a', 'none.md'], 'The step has no file none.md. Its files: notes.md.'],
		[['made_1', 'c'], 'Plan made_1 has no step c. Its steps: a, b.'],
		[['made_1', '-o', 'x'], '--output needs a file to write.'],
		[['made_1', 'a', 'notes.md', '-o', '/nowhere/x'], '/nowhere/x cannot be written'],
	])('exits with 2 for %j and says what is wrong', async (args, sentence) => {
		const { code, stdout, stderr } = await runPlanstream(['artifact', ...args], env)
		expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
		expect(stderr).toContain(sentence)
	})
})

describe('the id of a plan', () => {
	it('may be typed in part when no other plan starts so, and a whole id comes first', async () => {
		const shown = async (text: string) => (await runPlanstream(['show', text, '--json'], env)).json[0]
		expect(await shown('made_1')).toMatchObject({ plan_id: 'made_1' })
		expect(await shown('made_21')).toMatchObject({ plan_id: 'made_21' })
		expect(await shown('made_2')).toMatchObject({ plan_id: 'made_2' })
		const cloned = await runPlanstream(['clone', 'made_21', '--id', 'other_plan', '--no-start'], env)
		expect(cloned.code).toBe(0)
		expect((await runPlanstream(['cancel', 'oth'], env)).stdout).toContain('Plan other_plan is cancelled')
		expect((await runPlanstream(['delete', 'oth'], env)).stdout).toBe('Deleted plan other_plan and its events.\n')
	})

	it('lists the candidates and does nothing when several plans start with it', async () => {
		const { code, stdout, stderr } = await runPlanstream(['delete', 'made_1', 'made_'], env)
		expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
		expect(stderr).toBe('planstream: 3 plans start with made_: made_21, made_2, made_1. Type more of the id.\n')
		expect((await runPlanstream(['show', 'made_1'], env)).code).toBe(0)
	})

	it('stands for the newest plan when it is last', async () => {
		expect((await runPlanstream(['show', 'last', '--json'], env)).json).toMatchObject([{ plan_id: 'made_21' }])
	})

	it('is listed whole in a narrow terminal, where the query is cut', async () => {
		const long = `long_${'x'.repeat(60)}`
		expect((await runPlanstream(['clone', 'made_1', '--id', long, '--no-start'], env)).code).toBe(0)
		await using list = CliProcess.inTerminal(['list', '--limit', '1'], env, { columns: 40, rows: 20 })
		expect((await list.end()).stdout).toContain(`${long}  pending`)
		expect((await runPlanstream(['cancel', long], env)).code).toBe(0)
		expect((await runPlanstream(['delete', long], env)).code).toBe(0)
	})
})

/** Mounts the server below a path of another address. */
async function mount(target: string) {
	const proxy = createServer((asked, answer) => {
		const inner = asked.url?.startsWith('/below/') ? asked.url.slice('/below'.length) : '/wrong'
		const passed = request(new URL(inner, target), { method: asked.method, headers: asked.headers }, (received) => {
			answer.writeHead(received.statusCode ?? 500, received.headers)
			received.pipe(answer)
		})
		asked.pipe(passed)
	})
	proxy.on('upgrade', (_asked, socket) => socket.destroy())
	await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
	const { port } = proxy.address() as AddressInfo
	return {
		url: `http://127.0.0.1:${port}/below`,
		[Symbol.dispose]: () => {
			proxy.closeAllConnections()
			proxy.close()
		},
	}
}

it('each command reaches a server that is mounted below a path', async () => {
	using mounted = await mount(server.url)
	using elsewhere = createTemporaryDirectory()
	await using other = await startServe(elsewhere.path)
	using otherMounted = await mount(other.url)
	const run = (...words: string[]) => runPlanstream([...words, '--url', mounted.url], {})
	expect((await run('list', '--json')).json).toHaveLength(3)
	expect((await run('result', 'made_1', 'b')).stdout).toBe('done\n')
	expect((await run('artifact', 'made_1', 'b', 'my data.bin')).stdout).toBe(NOTES)
	expect((await run('watch', 'made_1', '--json')).json.at(-1)).toMatchObject({ event_type: 'plan_completed' })
	const { code, stdout: archive } = await run('export', 'made_1')
	expect(code).toBe(0)
	const imported = await new CliProcess(['import', '--json', '--url', otherMounted.url]).input(archive).end()
	expect(imported.json).toMatchObject([{ plan_id: 'made_1' }])
})

describe('planstream compact', () => {
	const databaseOf = (data: string) => statSync(path.join(data, 'planstream.db')).size

	it('makes the file of deleted plans smaller, keeps the others, and says how much', async () => {
		using data = createTemporaryDirectory()
		const own = await startServe(data.path)
		const publish = async (plan_id: string) => {
			const events = Array.from({ length: 200 }, () => ({ event_type: 'error', data: { code: 'x', message: 'y'.repeat(4000) } }))
			const body = JSON.stringify({ events: [...events, { event_type: 'plan_completed', data: { result: plan_id } }] })
			const headers = { 'content-type': 'application/json' }
			const answer = await fetch(`${own.url}/api/v1/streaming/plans/${plan_id}/events`, { method: 'POST', headers, body })
			expect(answer.status, await answer.text()).toBe(200)
		}
		for (const plan_id of ['one', 'two', 'three']) await publish(plan_id)
		const refused = await runPlanstream(['compact', '--data', data.path])
		expect(refused).toMatchObject({ code: 2, stdout: '' })
		expect(refused.stderr).toContain(`The server at ${own.url} has ${data.path} open. Stop it,`)
		expect((await runPlanstream(['delete', 'one', 'two', '--url', own.url])).code).toBe(0)
		own.child.kill('SIGTERM')
		await own.end()
		const before = databaseOf(data.path)
		const { code, json } = await runPlanstream(['compact', '--json', '--data', data.path])
		expect({ code, json }).toEqual({ code: 0, json: [{ bytes_before: before, bytes_after: databaseOf(data.path) }] })
		expect(databaseOf(data.path)).toBeLessThan(before / 2)
		const again = await runPlanstream(['compact', '--data', data.path])
		expect(again.stdout).toMatch(/^The database had (.+) and now has \1\.\n$/)
		const verified = await runPlanstream(['verify', '--json', '--data', data.path])
		expect(verified).toMatchObject({ code: 0, json: [{ plan_id: 'three', ok: true, events: 201 }] })
		expect((await runPlanstream(['result', 'three', '--data', data.path])).stdout).toBe('three\n')
	})

	it('exits with 2 when the directory holds no plans', async () => {
		using empty = createTemporaryDirectory()
		const { code, stderr } = await runPlanstream(['compact', '--data', empty.path])
		expect({ code, files: readdirSync(empty.path) }).toEqual({ code: 2, files: [] })
		expect(stderr).toContain(`${empty.path} holds no plans.`)
	})
})
