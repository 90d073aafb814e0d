import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { conformanceCases, startTestPlanstream } from '@planstream/server/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runPlanstream } from '../../support/cli-process.js'
import { startKeyedServer } from '../../support/servers/keyed-server.js'

describe('the conformance suite, given the address of a server,', () => {
	let server: Awaited<ReturnType<typeof startTestPlanstream>>
	beforeAll(async () => {
		server = await startTestPlanstream()
	})
	afterAll(() => server.close())

	it.each(conformanceCases({ url: 'http://localhost' }).map(({ name }, at) => [name, at] as const))(
		'passes the case "%s"',
		async (_name, at) => {
			await conformanceCases({ url: server.url })[at]?.run()
		},
	)
})

it('passes with a key', async () => {
	await using server = await startKeyedServer({ all: { tenant: 'acme', scopes: ['plans:read', 'events:publish'] } })
	await Promise.all(conformanceCases({ url: server.url, token: server.keys.all }).map(({ run }) => run()))
})

it('fails on a server that gives the same answer to everything', async () => {
	const server = createServer((_request, response) => void response.setHeader('content-type', 'application/json').end('{}'))
	server.listen(0, '127.0.0.1')
	await once(server, 'listening')
	const { port } = server.address() as AddressInfo
	const cases = conformanceCases({ url: `http://127.0.0.1:${port}` })
	const outcomes = await Promise.allSettled(cases.map(({ run }) => run()))
	server.closeAllConnections()
	server.close()
	expect(outcomes.filter(({ status }) => status === 'fulfilled')).toEqual([])
})

it('is run by the command line, which prints the outcome of each case', { timeout: 60_000 }, async () => {
	await using server = await startTestPlanstream()
	const looked = await runPlanstream(['conformance', '--url', server.url])
	expect(looked.code).toBe(0)
	expect(looked.stdout).toMatch(/^ok 1 - publishing numbers events/)
	expect(looked.stdout).not.toContain('not ok')
	const away = await runPlanstream(['conformance', '--url', 'http://127.0.0.1:9'])
	expect(away).toMatchObject({ code: 1, stdout: expect.stringMatching(/^not ok 1 - /) as string })
})

it('passes when a plan of a consumer runs to its end', async () => {
	await using server = await startTestPlanstream()
	const { events, state } = await server.run({
		query: 'q',
		steps: [{ step_id: 'a', action: 'do', agent_type: 'scripted', input: { result: { n: 1 } } }],
	})
	expect(events.map(({ event_type }) => event_type)).toContain('step_completed')
	expect(state).toMatchObject({ status: 'completed', result: { a: { n: 1 } } })
	await expect(server.run({ query: 'q', steps: [{ step_id: 'a', action: 'do', agent_type: 'none' }] })).rejects.toMatchObject({
		code: 'bad_request',
	})
})
