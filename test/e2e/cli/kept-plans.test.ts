import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import type { ImportOutput, VerifyOutput } from '@planstream/shared'
import { describe, expect, it, vi } from 'vitest'
import { createKey } from '../../../server/src/auth/keys.js'
import { CliProcess, createTemporaryDirectory, runPlanstream, startServe } from '../../support/cli-process.js'

/** Each test starts several processes. */
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })

interface ServerFile {
	readonly url: string
	readonly pid: number
	readonly token: string
}

const serverFile = (directory: string) => path.join(directory, 'server.json')
const readServerFile = async (directory: string) => JSON.parse(await readFile(serverFile(directory), 'utf8')) as ServerFile

async function publish(url: string, plan_id: string, events: readonly object[]): Promise<void> {
	const answer = await fetch(`${url}/api/v1/streaming/plans/${plan_id}/events`, {
		method: 'POST',
		headers: { 'content-type': 'application/json' },
		body: JSON.stringify({ events }),
	})
	expect(answer.status, await answer.text()).toBe(200)
}

const error = (message: string) => ({ event_type: 'error', data: { code: 'x', message } })

async function publishPlans(url: string): Promise<void> {
	for (const plan_id of ['one', 'two']) await publish(url, plan_id, [error(`first of ${plan_id}`), error(`second of ${plan_id}`)])
	await publish(url, 'two', [{ event_type: 'plan_completed', data: { result: { long: 'x'.repeat(9000) } } }])
	expect((await fetch(`${url}/api/v1/streaming/plans/two/history`, { method: 'DELETE' })).status).toBe(200)
}

/** What `planstream export` says of the plan `one`. */
async function exported(directory: string) {
	await using server = await startServe(directory)
	await publishPlans(server.url)
	return await runPlanstream(['export', 'one', '--data', directory])
}

/** Changes one byte of the file behind the place where it holds this text. */
function flip(file: string, text: string): void {
	const bytes = readFileSync(file)
	const at = bytes.indexOf(text)
	expect(at).toBeGreaterThan(0)
	bytes[at] = (bytes[at] ?? 0) ^ 1
	writeFileSync(file, bytes)
}

const verified = (json: readonly unknown[]) => json as readonly VerifyOutput[]

describe('server.json', () => {
	it("holds the server's address and token, readable by its user alone, while the server runs", async () => {
		using directory = createTemporaryDirectory()
		await using server = await startServe(directory.path)
		const { url, pid, token } = await readServerFile(directory.path)
		expect({ url, pid }).toEqual({ url: server.url, pid: server.child.pid })
		expect(token).toMatch(/^[\w-]{43}$/)
		expect((await stat(serverFile(directory.path))).mode & 0o777).toBe(0o600)
		server.child.kill('SIGTERM')
		await server.end()
		expect(() => statSync(serverFile(directory.path))).toThrow('ENOENT')
	})

	it('lets the command line show, control and keep plans on a server with keys, and nothing else', async () => {
		using directory = createTemporaryDirectory()
		const PLANSTREAM_API_KEYS = path.join(directory.path, 'keys.json')
		const key = await createKey(PLANSTREAM_API_KEYS, { tenant: 'default', scopes: ['plans:write', 'events:publish'] })
		await using server = await startServe(directory.path, { PLANSTREAM_API_KEYS })
		const ask = (token: string, method = 'GET', address = '/api/v1/plans') =>
			fetch(server.url + address, { method, headers: { authorization: `Bearer ${token}` } }).then(({ status }) => status)
		const { token } = await readServerFile(directory.path)
		const publishing = '/api/v1/streaming/plans/p/events'
		expect([await ask(token), await ask('x'), await ask(token, 'POST', publishing)]).toEqual([200, 401, 403])
		expect(await ask(key, 'GET', '/api/v1/admin/plans/p/verify')).toBe(403)
		expect(await ask(key, 'GET', '/api/v1/admin/plans/p/export')).toBe(403)
		expect(await ask(key, 'POST', '/api/v1/admin/import')).toBe(403)
		expect((await runPlanstream(['verify', '--data', directory.path])).code).toBe(0)
		const near = { PLANSTREAM_DATA: directory.path, PLANSTREAM_URL: '' }
		const { stderr } = await runPlanstream(['pause', 'nowhere'], near)
		expect(stderr).toContain('There is no plan nowhere.')
		expect((await runPlanstream(['publish', 'p'], near)).stderr).not.toContain('Cannot reach')
	})
})

describe('planstream verify, export, import, list and show', () => {
	it('give the same answers from a running server and from the file when none runs', async () => {
		using directory = createTemporaryDirectory()
		const data = ['--data', directory.path]
		const commands = [
			['list', '--json'],
			['show', 'one', '--json'],
			['verify', '--json'],
			['verify', 'two', '--json'],
			['export'],
		]
		const run = async () => Promise.all(commands.map((words) => runPlanstream([...words, ...data])))
		const server = await startServe(directory.path)
		await publishPlans(server.url)
		const running = await run()
		server.child.kill('SIGKILL')
		await server.end()
		expect(statSync(serverFile(directory.path)).size).toBeGreaterThan(0)
		for (const [index, words] of commands.entries()) {
			const stopped = await runPlanstream([...words, ...data])
			expect(stopped, words.join(' ')).toEqual(expect.objectContaining({ code: 0, stdout: running[index]?.stdout }))
		}
		expect(verified(running[2]?.json ?? [])).toEqual([
			expect.objectContaining({ plan_id: 'two', ok: true, oldest_seq: 4, events: 0 }),
			expect.objectContaining({ plan_id: 'one', ok: true, oldest_seq: 1, events: 2 }),
		])
	})

	it('copy plans to another server and to another directory, once', async () => {
		using directory = createTemporaryDirectory()
		await using server = await startServe(directory.path)
		await publishPlans(server.url)
		const { stdout: archive } = await runPlanstream(['export', '--data', directory.path])
		using elsewhere = createTemporaryDirectory()
		const other = await startServe(elsewhere.path)
		const imported = await new CliProcess(['import', '--json', '--data', elsewhere.path]).input(archive).end()
		expect(imported.json as unknown as ImportOutput[]).toEqual([
			expect.objectContaining({ plan_id: 'two', events: 0, head_seq: 3 }),
			expect.objectContaining({ plan_id: 'one', events: 2, head_seq: 2 }),
		])
		const again = await new CliProcess(['import', '--json', '--data', elsewhere.path]).input(archive).end()
		expect(again).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('Plan two already exists.') })
		const stateOf = async (url: string) => (await fetch(`${url}/api/v1/plans/two`)).json() as Promise<Record<string, unknown>>
		const { cursor: _here, ...here } = await stateOf(server.url)
		const { cursor: _there, origin, ...there } = await stateOf(other.url)
		expect(there).toEqual(here)
		expect(origin).toMatchObject({ imported_by: { type: 'user', id: 'local' }, signed: false })
		expect(await (await fetch(`${other.url}/api/v1/plans/two/result`)).json()).toEqual({
			plan_id: 'two',
			result: { long: 'x'.repeat(9000) },
		})
		other.child.kill('SIGTERM')
		await other.end()

		const renamed = archive.replaceAll('"plan_id":"one"', '"plan_id":"three"')
		const changed = await new CliProcess(['import', '--data', elsewhere.path])
			.input(renamed.slice(renamed.indexOf('\n{"planstream_archive"') + 1))
			.end()
		expect(changed).toMatchObject({ code: 2, stderr: expect.stringContaining('does not match its fingerprint') })
		expect((await runPlanstream(['list', '--json', '--data', elsewhere.path])).json).toHaveLength(2)
	})

	it('continue an imported plan when it was unfinished', async () => {
		using directory = createTemporaryDirectory()
		const server = await startServe(directory.path)
		const steps = [
			{
				step_id: 'a',
				action: 'x',
				agent_type: 'scripted',
				input: { updates: [{ progress: 0.5 }, { wait_ms: 600_000 }] },
				timeout_ms: 700_000,
			},
		]
		await fetch(`${server.url}/api/v1/plans`, {
			method: 'POST',
			headers: { 'content-type': 'application/json' },
			body: JSON.stringify({ plan_id: 'p', query: 'q', steps }),
		})
		server.child.kill('SIGTERM')
		await server.end()
		const { stdout: archive } = await runPlanstream(['export', 'p', '--data', directory.path])
		using elsewhere = createTemporaryDirectory()
		await using other = await startServe(elsewhere.path)
		await new CliProcess(['import', '--json', '--data', elsewhere.path]).input(archive).end()
		const stream = await fetch(`${other.url}/api/v1/streaming/plans/p/events`)
		let text = ''
		for await (const chunk of (stream.body ?? []) as AsyncIterable<Uint8Array>) {
			text += Buffer.from(chunk).toString()
			if (/"event_type":"step_started"[^\n]*"attempt":2/.test(text)) break
		}
		expect(text).toContain('"reason":"shutdown"')
		await fetch(`${other.url}/api/v1/plans/p/cancel`, { method: 'POST' })
	})

	it('find a flipped byte in the file, in an event and in a snapshot of trimmed ones, and exit with 1', async () => {
		using directory = createTemporaryDirectory()
		const server = await startServe(directory.path)
		await publishPlans(server.url)
		server.child.kill('SIGTERM')
		await server.end()
		const verify = () => runPlanstream(['verify', '--json', '--data', directory.path])
		expect((await verify()).code).toBe(0)
		flip(path.join(directory.path, 'planstream.db'), 'second of one')
		expect(await verify()).toMatchObject({ code: 1, stderr: expect.stringContaining('1 of 2 plans are damaged') })
		flip(path.join(directory.path, 'planstream.db'), '"result_seq":3')
		const { code, json } = await verify()
		expect(code).toBe(1)
		expect(verified(json).map(({ fault }) => fault)).toEqual([
			expect.objectContaining({ seq: 3, reason: 'base' }),
			expect.objectContaining({ seq: 2, reason: 'changed' }),
		])
		await using damaged = await startServe(directory.path)
		const asked = (await (await fetch(`${damaged.url}/api/v1/admin/plans/one/verify`)).json()) as VerifyOutput
		expect(asked).toMatchObject({ ok: false, fault: { seq: 2, reason: 'changed' } })
		expect((await fetch(`${damaged.url}/api/v1/plans/two`)).status).toBe(503)
	})

	it('open the file when a killed server has left its name and its process id belongs to another program', async () => {
		using directory = createTemporaryDirectory()
		await using other = await startServe(path.join(directory.path, 'other'))
		const server = await startServe(directory.path)
		await publishPlans(server.url)
		const left = await readServerFile(directory.path)
		server.child.kill('SIGKILL')
		await server.end()
		await writeFile(serverFile(directory.path), JSON.stringify({ ...left, pid: other.child.pid }))
		expect((await runPlanstream(['list', '--json', '--data', directory.path])).json).toHaveLength(2)
	})

	it('never believe a file whose address belongs to another server, and send it no token', async () => {
		using directory = createTemporaryDirectory()
		const server = await startServe(directory.path)
		await publishPlans(server.url)
		const left = await readServerFile(directory.path)
		server.child.kill('SIGKILL')
		await server.end()
		const asked: IncomingMessage[] = []
		const impostor = createServer((request, response) => {
			asked.push(request)
			response.setHeader('planstream-proof', 'x'.repeat(43)).end('{"status":"live"}')
		})
		await new Promise<void>((resolve) => impostor.listen(0, '127.0.0.1', resolve))
		await using other = await startServe(path.join(directory.path, 'other'))
		await publishPlans(other.url)
		for (const url of [other.url, `http://127.0.0.1:${(impostor.address() as AddressInfo).port}`]) {
			await writeFile(serverFile(directory.path), JSON.stringify({ ...left, pid: other.child.pid, url }))
			expect((await runPlanstream(['list', '--json', '--data', directory.path])).json).toHaveLength(2)
		}
		await writeFile(serverFile(directory.path), JSON.stringify({ ...left, pid: other.child.pid, url: other.url }))
		expect(await runPlanstream(['delete', 'two', '--data', directory.path])).toMatchObject({ code: 0 })
		expect((await fetch(`${other.url}/api/v1/plans/two`)).status).toBe(200)
		expect(asked.map(({ headers }) => headers.authorization)).toEqual([undefined])
		impostor.close()
	})

	it('use the default directory when the variable that names it is empty', async () => {
		using directory = createTemporaryDirectory()
		const { stdout: archive } = await exported(directory.path)
		const inside = (...words: string[]) => CliProcess.within(directory.path, words, { PLANSTREAM_DATA: '' })
		const usual = path.join(directory.path, '.planstream')
		await new CliProcess(['import', '--data', usual]).input(archive).end()
		expect(await inside('show', 'one', '--json').end()).toMatchObject({
			code: 0,
			json: [expect.objectContaining({ plan_id: 'one' })],
		})
		await using _server = await startServe(usual)
		expect(await inside('list', '--json').end()).toMatchObject({ code: 0, json: [expect.objectContaining({ plan_id: 'one' })] })
	})

	it('clear finished plans only, with and without a server', async () => {
		using directory = createTemporaryDirectory()
		const clear = (...plan_ids: string[]) => runPlanstream(['clear', '--json', ...plan_ids, '--data', directory.path])
		const server = await startServe(directory.path)
		await publishPlans(server.url)
		await publish(server.url, 'three', [{ event_type: 'plan_completed', data: { result: 3 } }])
		const open = {
			code: 2,
			stderr: expect.stringContaining('Plan one is pending, so clear was refused. It is external: publish the event'),
		}
		expect(await clear('two', 'one')).toMatchObject({ ...open, json: [expect.objectContaining({ plan_id: 'two' })] })
		server.child.kill('SIGTERM')
		await server.end()
		expect(await clear('three', 'one')).toMatchObject({
			...open,
			json: [expect.objectContaining({ plan_id: 'three', cleared: 1 })],
		})
		const { json } = await runPlanstream(['show', 'three', '--json', '--data', directory.path])
		expect(json).toEqual([expect.objectContaining({ status: 'completed', result: 3 })])
	})

	it('delete finished plans only, with and without a server', async () => {
		using directory = createTemporaryDirectory()
		const remove = (...plan_ids: string[]) => runPlanstream(['delete', '--json', ...plan_ids, '--data', directory.path])
		const server = await startServe(directory.path)
		await publishPlans(server.url)
		await publish(server.url, 'three', [{ event_type: 'plan_completed', data: {} }])
		const open = {
			code: 2,
			stderr: expect.stringContaining('Plan one is pending, so delete was refused. It is external: publish the event'),
		}
		expect(await remove('two', 'one')).toMatchObject({ ...open, json: [{ plan_id: 'two', deleted: true }] })
		server.child.kill('SIGTERM')
		await server.end()
		expect(await remove('three', 'one')).toMatchObject({ ...open, json: [{ plan_id: 'three', deleted: true }] })
		const { json } = await runPlanstream(['list', '--json', '--data', directory.path])
		expect(json).toEqual([expect.objectContaining({ plan_id: 'one' })])
	})

	it('use only the server of the given directory; an import creates the directory when it is missing', async () => {
		using directory = createTemporaryDirectory()
		await using server = await startServe(directory.path)
		await publishPlans(server.url)
		const { stdout: archive } = await runPlanstream(['export', 'one', '--data', directory.path])
		const fresh = path.join(directory.path, 'new', 'place')
		const refused = { code: 2, stdout: '', stderr: expect.stringContaining(`${fresh} holds no plans.`) }
		for (const words of [['list'], ['show', 'one'], ['verify'], ['export'], ['delete', 'one']]) {
			expect(await runPlanstream([...words, '--data', fresh])).toMatchObject(refused)
		}
		expect(await new CliProcess(['import', '--data', fresh]).input(archive).end()).toMatchObject({ code: 0 })
		expect((await runPlanstream(['verify', '--json', '--data', fresh])).json).toEqual([
			expect.objectContaining({ plan_id: 'one', ok: true }),
		])
	})

	it('refuse a directory when it cannot be created', async () => {
		const PLANSTREAM_DATA = '/proc/planstream'
		for (const words of [['serve'], ['import']]) {
			const { code, stderr } = await runPlanstream(words, { PLANSTREAM_DATA, PORT: '0' })
			expect(code).not.toBe(0)
			expect(stderr).toContain(`The data directory ${PLANSTREAM_DATA} cannot be created`)
		}
	})

	it('refuse an invalid address and an unknown plan', async () => {
		using directory = createTemporaryDirectory()
		await using _server = await startServe(directory.path)
		expect(await runPlanstream(['verify', '--url', 'nowhere'])).toMatchObject({
			code: 2,
			stderr: expect.stringContaining('Invalid server address "nowhere"'),
		})
		for (const command of ['verify', 'export', 'show']) {
			const refused = await runPlanstream([command, 'none', '--data', directory.path])
			expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining('There is no plan none') })
		}
	})
})
