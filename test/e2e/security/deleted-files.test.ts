import { createHash } from 'node:crypto'
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import { createLogger } from '../../../server/src/ops/logger.js'
import { startServer } from '../../../server/src/server.js'
import { createTemporaryDirectory, runPlanstream, startServe } from '../../support/cli-process.js'
import { post, sendRequest } from '../../support/http-request.js'

/** Some tests start processes. */
vi.setConfig({ testTimeout: 60_000 })

const TEXT = 'to be forgotten'
const ID = createHash('sha256').update(TEXT).digest('hex')
const input = { updates: [{ artifact: { name: 'a', text: TEXT, media_type: 'text/plain' } }], result: {}, quality_score: 0.7 }

const startIn = (directory: string) =>
	startServer({ store: { kind: 'sqlite', directory }, port: 0, scripted: true, logger: createLogger('silent') })
const fileIn = (directory: string) => path.join(directory, 'artifacts', 'default', ID.slice(0, 2), ID)
const remove = (server: { readonly url: string }, address: string) => sendRequest(server, address, { method: 'DELETE' })

/** Runs a plan whose step stores the file, until it ends or waits for its review. */
async function storeFile(server: { readonly url: string }, plan_id: string, step: object = {}): Promise<void> {
	const steps = [{ step_id: 'one', action: 'write', agent_type: 'scripted', input, ...step }]
	expect((await post(server, '/api/v1/plans', { plan_id, query: 'q', steps })).status).toBe(201)
	const read = async () => (await sendRequest(server, `/api/v1/plans/${plan_id}`)).body as { steps: { status: string }[] }
	await expect.poll(async () => (await read()).steps[0]?.status, { timeout: 10_000 }).toMatch(/completed|review/)
}

describe('a file that steps have stored', () => {
	it('is removed with the last plan that names it', async () => {
		using directory = createTemporaryDirectory()
		await using server = await startIn(directory.path)
		for (const plan_id of ['first', 'second']) await storeFile(server, plan_id)
		expect((await remove(server, '/api/v1/plans/first')).status).toBe(200)
		expect((await sendRequest(server, `/api/v1/plans/second/artifacts/${ID}`)).text).toBe(TEXT)
		expect((await remove(server, '/api/v1/plans/second')).status).toBe(200)
		await expect.poll(() => existsSync(fileIn(directory.path)), { timeout: 10_000 }).toBe(false)
	})

	it('stays when its plan is cleared, and is removed when only cleared events name it', async () => {
		using directory = createTemporaryDirectory()
		await using server = await startIn(directory.path)
		await storeFile(server, 'kept')
		await remove(server, '/api/v1/streaming/plans/kept/history')
		await storeFile(server, 'rejected', { quality: { min_score: 0.5, approve_score: 0.9, on_reject: 'fail' } })
		await post(server, '/api/v1/plans/rejected/reviews/one.1', { decision: 'reject' })
		expect((await remove(server, '/api/v1/plans/kept')).status).toBe(200)
		expect((await sendRequest(server, `/api/v1/plans/rejected/artifacts/${ID}`)).text).toBe(TEXT)
		expect((await remove(server, '/api/v1/streaming/plans/rejected/history')).status).toBe(200)
		await expect.poll(() => existsSync(fileIn(directory.path)), { timeout: 10_000 }).toBe(false)
		expect((await sendRequest(server, `/api/v1/plans/rejected/artifacts/${ID}`)).status).toBe(404)
	})

	it('is removed after the next start when the process is killed right after the plan was deleted', async () => {
		using directory = createTemporaryDirectory()
		const killed = await startServe(directory.path)
		await storeFile(killed, 'p')
		await remove(killed, '/api/v1/plans/p')
		killed.child.kill('SIGKILL')
		await killed.end()
		await using _server = await startIn(directory.path)
		await expect.poll(() => existsSync(fileIn(directory.path)), { timeout: 10_000 }).toBe(false)
	})

	it('is removed by the command line when no server runs', async () => {
		using directory = createTemporaryDirectory()
		const server = await startIn(directory.path)
		await storeFile(server, 'p')
		await server.close()
		expect(await runPlanstream(['delete', 'p', '--data', directory.path])).toMatchObject({ code: 0 })
		expect(existsSync(fileIn(directory.path))).toBe(false)
	})
})

describe('verify', () => {
	it('finds a file that was changed or is gone, until a step stores it again', async () => {
		using directory = createTemporaryDirectory()
		await using server = await startIn(directory.path)
		const verify = async () => (await sendRequest(server, '/api/v1/admin/plans/p/verify')).body
		await storeFile(server, 'p')
		expect(await verify()).toMatchObject({ ok: true, fault: null })
		writeFileSync(fileIn(directory.path), 'to be falsified')
		const changed = `The artifact ${ID} was changed after it was stored. Restore a backup, or run its step again.`
		expect(await verify()).toMatchObject({ ok: false, fault: { reason: 'artifact', detail: changed } })
		await storeFile(server, 'again')
		expect(await verify()).toMatchObject({ ok: true, fault: null })
		rmSync(fileIn(directory.path))
		expect(await verify()).toMatchObject({
			ok: false,
			fault: { reason: 'artifact', detail: changed.replace('was changed after it was stored', 'is gone') },
		})
		await server.close()
		const offline = await runPlanstream(['verify', 'p', '--json', '--data', directory.path])
		expect(offline).toMatchObject({ code: 1, json: [expect.objectContaining({ ok: false })] })
	})
})
