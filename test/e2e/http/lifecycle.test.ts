import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { get, type IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createLogger } from '../../../server/src/ops/logger.js'
import type { Agent } from '../../../server/src/plans/agent.js'
import { type RunningServer, startServer } from '../../../server/src/server.js'
import { post, sendRequest } from '../../support/http-request.js'
import { startTestServer } from '../../support/servers/test-server.js'

const ZERO = { connections: 0, subscriptions: 0, watchers: 0, attempts: 0, timers: 0 }
const eventsOf = (plan_id: string) => `/api/v1/streaming/plans/${plan_id}/events`

let directory: string
beforeEach(async () => {
	directory = await mkdtemp(path.join(tmpdir(), 'planstream-test-'))
})
afterEach(() => rm(directory, { recursive: true, force: true }))

/** Opens a stream and resolves when it has said a text. */
async function streamUntil(
	server: RunningServer,
	plan_id: string,
	said: string,
): Promise<{ response: IncomingMessage; heard: () => string }> {
	const [response] = (await once(get(`${server.url}${eventsOf(plan_id)}`), 'response')) as [IncomingMessage]
	let heard = ''
	response.setEncoding('utf8')
	await new Promise<void>((resolve) => {
		response.on('data', (chunk: string) => {
			heard += chunk
			if (heard.includes(said)) resolve()
		})
	})
	return { response, heard: () => heard }
}

/** Its first attempt goes on until it is cut. */
const patient: Agent = {
	type: 'patient',
	execute: async (_step, { attempt, signal }) => {
		if (attempt === 1) await once(signal, 'abort')
		return { data: { attempt } }
	},
}
const PATIENT_PLAN = { plan_id: 'plan_1', query: 'q', steps: [{ step_id: 'a', action: 'wait', agent_type: 'patient' }] }

describe('a server that stops', () => {
	it('ends its streams so that readers resume, leaves nothing open, and no longer listens', async () => {
		const server = await startTestServer()
		const { response, heard } = await streamUntil(server, 'plan_1', 'event: ready')
		expect(server.report()).toEqual({ ...ZERO, connections: 1, subscriptions: 1, watchers: 1 })
		const over = once(response, 'end')
		await server.close()
		await over
		expect(heard()).toMatch(/event: end\nid: 0\ndata: .*"reason":"draining".*"resume":true/)
		expect(server.report()).toEqual(ZERO)
		await expect(sendRequest(server, '/health/live')).rejects.toMatchObject({ code: 'ECONNREFUSED' })
		await server.close()
	})

	it('cuts running attempts, and the next server continues: each step completes once', async () => {
		const options = { port: 0, store: { kind: 'sqlite', directory }, agents: [patient], logger: createLogger('silent') } as const
		const first = await startServer(options)
		await post(first, '/api/v1/plans', PATIENT_PLAN)
		await streamUntil(first, 'plan_1', '"step_started"')
		await first.close()
		expect(first.report()).toEqual(ZERO)
		await using second = await startServer(options)
		const { text: events } = await sendRequest(second, eventsOf('plan_1'))
		const types = [...events.matchAll(/"event_type":"(\w+)"/g)].map(([, type]) => type)
		const before = ['plan_created', 'plan_started', 'step_started', 'step_retrying']
		expect(types).toEqual([...before, 'step_started', 'step_completed', 'plan_completed'])
		expect(events).toContain('"reason":"shutdown"')
	})

	it('is not delayed by the connections of idle clients', async () => {
		const server = await startTestServer()
		const kept = await fetch(`${server.url}/health/live`)
		await kept.text()
		await server.close()
		expect(server.report()).toEqual(ZERO)
	})
})

describe('an idle connection', () => {
	it.each([
		[undefined, 'timeout=72'],
		[120_000, 'timeout=120'],
	])('is kept longer than load balancers keep theirs (setting: %s)', async (keepAliveMs, announced) => {
		await using server = await startTestServer({ ...(keepAliveMs !== undefined && { keepAliveMs }) })
		const { headers } = await sendRequest(server, '/health/live', { headers: { connection: 'keep-alive' } })
		expect(headers['keep-alive']).toBe(announced)
	})
})

describe('a server that cannot start', () => {
	it('reports that its port is in use, and has released its directory', async () => {
		await using first = await startTestServer()
		const store = { kind: 'sqlite', directory } as const
		const logger = createLogger('silent')
		await expect(startServer({ port: first.port, store, logger })).rejects.toMatchObject({
			code: 'conflict',
			message: `Port ${first.port} of 127.0.0.1 is in use by another program. Stop that program, or choose another port (PORT, or the option port; 0 picks a free one).`,
		})
		await using second = await startServer({ port: 0, store, logger })
		expect((await sendRequest(second, '/health/ready')).status).toBe(200)
	})

	it('reports that its directory is in use, and names the remedy', async () => {
		const store = { kind: 'sqlite', directory } as const
		await using _first = await startServer({ port: 0, store, logger: createLogger('silent') })
		await expect(startServer({ port: 0, store, logger: createLogger('silent') })).rejects.toMatchObject({
			code: 'storage_unavailable',
		})
	})

	it('does not listen on an address that other machines reach', async () => {
		const open = startServer({ host: '0.0.0.0', port: 0, store: { kind: 'memory' } })
		await expect(open).rejects.toMatchObject({ code: 'bad_request', facts: { host: '0.0.0.0' } })
	})

	it.each([
		['a built-in agent and agents[1] both have the type corpus.index.', [patient, { ...patient, type: 'corpus.index' }]],
		['agents[0] and agents[1] both have the type patient.', [patient, patient]],
	])('reports that %s', async (said, agents) => {
		const contradiction = startServer({ port: 0, store: { kind: 'memory' }, agents })
		await expect(contradiction).rejects.toMatchObject({ code: 'bad_request', message: expect.stringContaining(said) })
	})

	it('has the built-in agents besides its own', async () => {
		await using server = await startTestServer({ agents: [patient] })
		expect(server.executor.agents.map(({ agent_type }) => agent_type)).toEqual(
			expect.arrayContaining(['corpus.report', 'patient', 'scripted']),
		)
	})
})

describe('the process', () => {
	function start(env: NodeJS.ProcessEnv): ChildProcess & { stdout: IncomingMessage; stderr: IncomingMessage } {
		const program = "import('@planstream/server').then(({ serve }) => serve(process.env))"
		const process_ = spawn(process.execPath, ['-e', program], {
			env: { PATH: process.env.PATH, PLANSTREAM_DATA: directory, ...env },
		})
		return process_ as unknown as ReturnType<typeof start>
	}

	it('prints its address in one line, answers, and shuts down in order on SIGTERM', async () => {
		const process_ = start({ PORT: '0', LOG_LEVEL: 'warn' })
		const [line] = (await once(process_.stdout, 'data')) as [Buffer]
		const [, url] = /^planstream listening on (http:\/\/127\.0\.0\.1:\d+)\n$/.exec(line.toString()) ?? []
		expect((await fetch(`${url}/health/ready`)).status).toBe(200)
		const rest = text(process_.stdout)
		const errors = text(process_.stderr)
		process_.kill('SIGTERM')
		expect(await once(process_, 'exit')).toEqual([0, null])
		expect([await rest, await errors]).toEqual(['', ''])
	})

	it('names a wrong setting and exits with 2', async () => {
		const process_ = start({ PORT: 'http' })
		const errors = text(process_.stderr)
		expect(await once(process_, 'exit')).toEqual([2, null])
		expect(await errors).toBe(
			'PORT must be the port to listen on (0 picks a free one), a whole number from 0 to 65535, but is "http".\n',
		)
	})

	it('logs its start, its requests and plans that failed, and its stop, with LOG_LEVEL=debug', async () => {
		const process_ = start({ PORT: '0', PLANSTREAM_SCRIPTED: '1', LOG_LEVEL: 'debug' })
		const log = text(process_.stderr)
		const [line] = (await once(process_.stdout, 'data')) as [Buffer]
		const url = /http:\S+/.exec(line.toString())?.[0] ?? ''
		const steps = [{ step_id: 'a', action: 'act', agent_type: 'scripted', input: { fail: {} }, retry: { max_attempts: 1 } }]
		await post({ url }, '/api/v1/plans?secret=1', { plan_id: 'p', query: 'q', steps })
		await sendRequest({ url }, '/api/v1/plans', { method: 'POST', body: { plan_id: 'p', query: 'q', steps } })
		await (await fetch(`${url}${eventsOf('p')}`)).text()
		process_.kill('SIGTERM')
		expect(await once(process_, 'exit')).toEqual([0, null])
		const lines = (await log).trimEnd().split('\n')
		const entries = lines.map((entry) => JSON.parse(entry) as { msg: string })
		const requests = entries.filter(({ msg }) => msg === 'A request was answered.')
		expect(entries.filter((entry) => !requests.includes(entry)).map(({ msg }) => msg)).toEqual([
			'The server is starting.',
			'Unfinished plans were recovered.',
			'The server is listening.',
			expect.stringMatching(/^Plan p failed: Step a failed: /),
			'Planstream is stopping.',
			'Planstream has stopped.',
		])
		expect(entries[0]).toMatchObject({ settings: { PORT: 0, PLANSTREAM_SCRIPTED: true } })
		expect(requests).toEqual([
			expect.objectContaining({ method: 'POST', path: '/api/v1/plans', status: 400, request_id: expect.any(String) }),
			expect.objectContaining({ method: 'POST', path: '/api/v1/plans', status: 201 }),
			expect.objectContaining({ method: 'GET', path: eventsOf('p'), status: 200, ms: expect.any(Number) }),
		])
		expect(lines.join('')).not.toContain('secret')
	})

	it('prints the reason and exits with 1 when it cannot start', async () => {
		await using other = await startTestServer()
		const process_ = start({ PORT: String(other.port) })
		const errors = text(process_.stderr)
		expect(await once(process_, 'exit')).toEqual([1, null])
		expect(await errors).toContain(`Port ${other.port} of 127.0.0.1 is in use`)
	})
})
