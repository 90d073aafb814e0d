import { existsSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { createLogger } from '../../../server/src/ops/logger.js'
import { startServer } from '../../../server/src/server.js'
import { createTemporaryDirectory } from '../../support/cli-process.js'
import { post, sendRequest } from '../../support/http-request.js'

type Server = { readonly url: string }

const startIn = (directory: string) =>
	startServer({ store: { kind: 'sqlite', directory }, port: 0, logger: createLogger('silent') })
const publish = async (server: Server, plan_id: string) => {
	const events = [{ event_type: 'step_started', step_id: 'one', data: { attempt: 1 } }]
	const { status, body } = await post(server, `/api/v1/streaming/plans/${plan_id}/events`, { events })
	return [status, (body as { code?: string }).code ?? null]
}
const isReady = async (server: Server) => (await sendRequest(server, '/health/ready')).status
const find = async (server: Server, plan_id: string) => (await sendRequest(server, `/api/v1/plans/${plan_id}`)).status
const REFUSED = [503, 'storage_unavailable']

describe('a data directory that is taken away from a running server', () => {
	it('lets nothing be acknowledged, whether it was deleted or one file of it', async () => {
		for (const name of ['', 'planstream.db', 'planstream.db-wal']) {
			using parent = createTemporaryDirectory()
			const directory = path.join(parent.path, 'data')
			await using server = await startIn(directory)
			expect([name, await publish(server, 'before')]).toEqual([name, [200, null]])
			rmSync(path.join(directory, name), { recursive: true })
			expect([name, await isReady(server)]).toEqual([name, 503])
			expect([name, await publish(server, 'after')]).toEqual([name, REFUSED])
		}
	})

	it('takes events again when it is back in its place', async () => {
		using parent = createTemporaryDirectory()
		const directory = path.join(parent.path, 'data')
		await using server = await startIn(directory)
		await publish(server, 'before')
		renameSync(directory, `${directory}-2`)
		expect([await publish(server, 'during'), await isReady(server)]).toEqual([REFUSED, 503])
		renameSync(`${directory}-2`, directory)
		expect([await isReady(server), await publish(server, 'after')]).toEqual([200, [200, null]])
		expect([await find(server, 'during'), await find(server, 'after')]).toEqual([404, 200])
	})

	it('leaves the files of another server alone that stand in its place when the first one stops', async () => {
		using parent = createTemporaryDirectory()
		const directory = path.join(parent.path, 'data')
		const first = await startIn(directory)
		await publish(first, 'first')
		renameSync(directory, `${directory}-2`)
		await using second = await startIn(directory)
		await publish(second, 'second')
		const files = readdirSync(directory)
		const named = readFileSync(path.join(directory, 'server.json'), 'utf8')
		await first.close()
		expect(readdirSync(directory)).toEqual(files)
		expect(readFileSync(path.join(directory, 'server.json'), 'utf8')).toBe(named)
		expect([await publish(second, 'second'), await isReady(second)]).toEqual([[200, null], 200])
		expect(existsSync(path.join(directory, 'planstream.db-wal'))).toBe(true)
	})
})
