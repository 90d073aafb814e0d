import { createHash } from 'node:crypto'
import { rmSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { createLogger } from '../../../server/src/ops/logger.js'
import type { Agent } from '../../../server/src/plans/agent.js'
import { type RunningServer, startServer } from '../../../server/src/server.js'
import { createTemporaryDirectory } from '../../support/cli-process.js'
import { post, sendRequest } from '../../support/http-request.js'
import { startTestServer } from '../../support/servers/test-server.js'

const digestOf = (text: string) => createHash('sha256').update(text).digest('hex')
const addressOf = (plan_id: string, artifact_id: string) => `/api/v1/plans/${plan_id}/artifacts/${artifact_id}`

const startIn = (directory: string) =>
	startServer({ store: { kind: 'sqlite', directory }, port: 0, scripted: true, logger: createLogger('silent') })

/** Runs a plan of one step, and waits for its end. */
async function runStep(server: RunningServer, plan_id: string, step: object): Promise<void> {
	const steps = [{ step_id: 'one', action: 'write', retry: { max_attempts: 1 }, ...step }]
	expect((await post(server, '/api/v1/plans', { plan_id, query: 'q', steps })).status).toBe(201)
	await sendRequest(server, `/api/v1/streaming/plans/${plan_id}/events`)
}

async function storeText(server: RunningServer, plan_id: string, text: string, media_type = 'text/plain'): Promise<string> {
	const input = { updates: [{ artifact: { name: 'a', text, media_type } }], result: {} }
	await runStep(server, plan_id, { agent_type: 'scripted', input })
	return addressOf(plan_id, digestOf(text))
}

describe('a file of a plan', () => {
	it.each([
		'text/html; charset=utf-8',
		'application/xhtml+xml',
		'image/svg+xml',
		'IMAGE/SVG+XML',
		'text/xml',
		'application/rss+xml',
		'text/xsl',
		'multipart/related',
	])('is sent as bytes that run nowhere when its media type is %s', async (media_type) => {
		await using server = await startTestServer()
		const address = await storeText(server, 'page', '<script>alert(1)</script>', media_type)
		const expected = {
			'content-disposition': "attachment; filename*=UTF-8''a",
			'content-security-policy': "default-src 'none'; sandbox",
			'cross-origin-resource-policy': 'same-origin',
			'x-content-type-options': 'nosniff',
			'cache-control': 'private, max-age=0',
		}
		const { headers } = await sendRequest(server, address)
		expect(headers).toMatchObject({ ...expected, 'content-type': 'application/octet-stream' })
		const unchanged = await sendRequest(server, address, { headers: { 'if-none-match': headers.etag ?? '' } })
		expect(unchanged).toMatchObject({ status: 304, headers: expected })
	})

	it('has its length on the disk, whatever its event says', async () => {
		using directory = createTemporaryDirectory()
		await using server = await startIn(directory.path)
		const address = await storeText(server, 'short', 'hello')
		const digest = digestOf('hello')
		const longer = 'helloHTTP/1.1 200 OK'
		writeFileSync(path.join(directory.path, 'artifacts', 'default', digest.slice(0, 2), digest), longer)
		const answer = await sendRequest(server, address)
		expect(answer).toMatchObject({ status: 200, text: longer, headers: { 'content-length': String(longer.length) } })
	})

	it('is not found when a link has its name', async () => {
		using directory = createTemporaryDirectory()
		await using server = await startIn(directory.path)
		const address = await storeText(server, 'linked', 'text')
		const file = path.join(directory.path, 'artifacts', 'default', digestOf('text').slice(0, 2), digestOf('text'))
		rmSync(file)
		symlinkSync('/etc/hostname', file)
		expect((await sendRequest(server, address)).status).toBe(404)
	})
})

describe('an agent that stores a file', () => {
	it('may reuse its buffer at once', async () => {
		const reuser: Agent = {
			type: 'reuser',
			execute: async (_step, context) => {
				const buffer = Buffer.from('AAAA')
				const stored = context.artifact('a', buffer, 'text/plain')
				buffer.fill('B')
				await stored
				return { data: {} }
			},
		}
		await using server = await startTestServer({ agents: [reuser] })
		await runStep(server, 'reused', { agent_type: 'reuser' })
		expect(await sendRequest(server, addressOf('reused', digestOf('AAAA')))).toMatchObject({ status: 200, text: 'AAAA' })
	})

	it('need not wait until it is stored', async () => {
		const forgetful: Agent = {
			type: 'forgetful',
			execute: async (_step, context) => {
				void context.artifact('a', 'text', 'text/plain')
				return { data: {} }
			},
		}
		await using server = await startTestServer({ agents: [forgetful] })
		await runStep(server, 'forgotten', { agent_type: 'forgetful' })
		expect((await sendRequest(server, addressOf('forgotten', digestOf('text')))).status).toBe(200)
	})

	it('is refused once its attempt has ended', async () => {
		let store: () => Promise<unknown> = () => Promise.resolve()
		const late: Agent = {
			type: 'late',
			execute: async (_step, context) => {
				store = () => context.artifact('a', 'text', 'text/plain')
				return { data: {} }
			},
		}
		await using server = await startTestServer({ agents: [late] })
		await runStep(server, 'ended', { agent_type: 'late' })
		await expect(store()).rejects.toThrow('The attempt has ended.')
	})
})
