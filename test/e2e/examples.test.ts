import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createInterface } from 'node:readline'
import { json } from 'node:stream/consumers'
import { promisify } from 'node:util'
import { createPlanstreamClient } from '@planstream/client'
import { startTestPlanstream, type TestPlanstream } from '@planstream/server/testing'
import ts from 'typescript'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { root } from '../docs/documents.js'
import { post, sendRequest } from '../support/http-request.js'

const RUNNING_MS = 60_000
const run = promisify(execFile)
const lacks = (program: string) => spawnSync(program, ['--version']).status !== 0
const PLAN = { query: 'q', steps: [{ step_id: 'a', action: 'do', agent_type: 'scripted', input: { result: { n: 1 } } }] }

/** A folder below the repository, where Node finds the packages. */
mkdirSync(`${root}dist`, { recursive: true })
const folder = mkdtempSync(`${root}dist/examples-`)
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** An example in TypeScript as a program for Node. */
function programOf(name: string): string {
	const compilerOptions = { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext, verbatimModuleSyntax: true }
	const { outputText } = ts.transpileModule(readFileSync(`${root}examples/${name}/main.ts`, 'utf8'), { compilerOptions })
	writeFileSync(`${folder}/${name}.mjs`, outputText)
	return `${folder}/${name}.mjs`
}

/** What an example prints that ends by itself. */
async function output(name: string, env: NodeJS.ProcessEnv = {}): Promise<string> {
	const { stdout } = await run(process.execPath, [programOf(name)], { env: { ...process.env, ...env }, timeout: RUNNING_MS })
	return stdout
}

/** An example that serves, until the test is over. */
async function serving(
	name: string,
	env: NodeJS.ProcessEnv = {},
): Promise<{ readonly url: string; readonly child: ChildProcess }> {
	const child = spawn(process.execPath, [programOf(name)], {
		env: { ...process.env, PORT: '0', ...env },
		stdio: ['ignore', 'pipe', 'inherit'],
	})
	onTestFinished(() => void child.kill('SIGKILL'))
	for await (const line of createInterface({ input: child.stdout })) {
		const [, url] = /^listening on (\S+)$/.exec(line) ?? []
		if (url !== undefined) return { url, child }
	}
	throw new Error(`The example ${name} ended before it listened.`)
}

describe('The examples', { timeout: RUNNING_MS }, () => {
	let server: TestPlanstream
	beforeAll(async () => {
		server = await startTestPlanstream()
	})
	afterAll(() => server.close())

	/** The types of a plan's events. */
	async function typesOf(plan_id: string): Promise<string[]> {
		const { body } = await sendRequest(server, `/api/v1/streaming/plans/${plan_id}/history`)
		return (body as { readonly events: { readonly event_type: string }[] }).events.map(({ event_type }) => event_type)
	}

	it('publish a whole plan from an orchestrator', async () => {
		expect(await output('orchestrator', { PLANSTREAM_URL: server.url, PLAN_ID: 'nightly' })).toContain('published nightly')
		const types = await typesOf('nightly')
		expect(types).toHaveLength(11)
		expect([types.at(0), types.at(-1)]).toEqual(['plan_started', 'plan_completed'])
	})

	it('run a plan with a typed agent', async () => {
		const printed = await output('custom-agent')
		expect(printed).toContain('{"short":{"words":2,"longest":"words"},"long":{"words":4,"longest":"words"}}')
		expect(printed).toMatch(/plan_completed/)
	})

	it('mount Planstream in a Hono application with a router of its own', async () => {
		const host = await serving('hono')
		const headers = { 'x-user': 'ann' }
		expect((await sendRequest(host, '/')).text).toBe('an application')
		expect((await sendRequest(host, '/trpc/hello', { headers })).body).toMatchObject({ result: { data: 'Hello, ann!' } })
		const fetchAs: typeof fetch = (input, init) => fetch(input, { ...init, headers: { ...init?.headers, ...headers } })
		await using planstream = createPlanstreamClient({ url: `${host.url}/planstream`, transport: 'sse', fetch: fetchAs })
		const { plan_id, result } = await planstream.plans.run(PLAN)
		expect(result).toEqual({ a: { n: 1 } })
		const input = new URLSearchParams({ input: JSON.stringify({ plan_id }) })
		const own = await sendRequest(host, `/trpc/planstream.plans.get?${input}`, { headers })
		expect(own.body).toMatchObject({ result: { data: { status: 'completed' } } })
		expect((await sendRequest(host, '/planstream/api/v1/plans')).status).toBe(401)
		host.child.kill('SIGTERM')
		expect(await once(host.child, 'exit')).toEqual([0, null])
	})

	it('post to a webhook when a plan has ended', async () => {
		const hook = createServer()
		onTestFinished(() => void hook.close())
		hook.listen(0, '127.0.0.1')
		await once(hook, 'listening')
		const { port } = hook.address() as AddressInfo
		const asked = once(hook, 'request') as Promise<[IncomingMessage, ServerResponse]>
		const { url, child } = await serving('webhook', { WEBHOOK_URL: `http://127.0.0.1:${port}/hook` })
		await post({ url }, '/api/v1/plans', { ...PLAN, plan_id: 'p' })
		const [request, response] = await asked
		expect(await json(request)).toEqual({ plan_id: 'p', status: 'completed', result: { a: { n: 1 } } })
		response.end()
		child.kill('SIGTERM')
		expect(await once(child, 'exit')).toEqual([0, null])
	})

	it.skipIf(lacks('curl'))('publish and follow with curl', async () => {
		const env = { ...process.env, PLANSTREAM_URL: server.url, PLAN_ID: 'shell' }
		const { stdout } = await run('bash', [`${root}examples/curl/run.sh`], { env, timeout: RUNNING_MS })
		expect(stdout).toMatch(/"duplicate":false[\s\S]*event: ready[\s\S]*"plan_completed"[\s\S]*event: end/)
	})

	it.skipIf(lacks('python3'))('publish and follow with Python', async () => {
		const env = { ...process.env, PLANSTREAM_URL: server.url, PLAN_ID: 'python' }
		const { stdout } = await run('python3', [`${root}examples/python/follow.py`], { env, timeout: RUNNING_MS })
		expect(stdout.match(/^\d+ \w+/gm)).toEqual([
			'1 plan_started',
			'2 step_progress',
			'3 step_progress',
			'4 step_progress',
			'5 plan_completed',
		])
	})
})
